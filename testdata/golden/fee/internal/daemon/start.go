package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/fee/internal/process"
	"example.com/fee/internal/transport"
)

// Launch is a service about to be started.
type Launch struct {
	Parts         Parts
	Configuration *Configuration
	Dirs          process.Dirs
	Warn          func(message string) // what the starter should know

	// Inherited is what a supervisor passed to this process; Foreground hands it
	// on. Nil stands for nothing.
	Inherited *process.Handover
}

// ErrRunning means that another process is the daemon.
var ErrRunning = errors.New("already running")

// Started tells the result of Start.
type Started struct {
	PID     int
	Already bool // it was running before; nothing was started
}

// Start starts the daemon, detached, and returns when it is ready. Of several
// at once one starts it and the others wait until it is ready. A daemon that
// is not ready in time is ended again.
func (l *Launch) Start(ctx context.Context, wait time.Duration) (Started, error) {
	deadline, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for begin := time.Now(); ; {
		h, err := l.prepare(&process.Handover{})
		if err == nil {
			defer h.Close()
			started, err := l.detach(ctx, h, wait-time.Since(begin))
			if errors.Is(err, process.ErrNotReady) {
				err = fmt.Errorf("%w (%s)", err, wait)
			}
			return started, err
		}
		if !errors.Is(err, ErrRunning) {
			return Started{}, err
		}
		// It is there, or another start is at work: not ready yet, or on its
		// way out, in which case the lock is about to be free.
		if status, err := AskStatus(deadline, l.Dirs); err == nil && status.State.serving() {
			return Started{status.PID, true}, nil
		}
		select {
		case <-deadline.Done():
			return Started{}, fmt.Errorf("another instance holds the lock: %w (%s)", process.ErrNotReady, wait)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// prepare does what takes the rights of the starter, and what can tell that
// there is no point in starting: directories, the lock, the sockets. It adds all
// of it to h, which it closes on an error; that is ErrRunning if another process
// holds the lock.
func (l *Launch) prepare(h *process.Handover) (_ *process.Handover, err error) {
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	warnings, err := l.describe(h)
	if err != nil {
		return nil, err
	}
	if err := l.bind(h); err != nil {
		return nil, err
	}
	for _, warning := range warnings {
		l.Warn(warning)
	}
	return h, nil
}

// describe fills h in with what the daemon is to be, and makes its directories.
// The warnings are for the starter.
func (l *Launch) describe(h *process.Handover) (warnings []string, err error) {
	c := l.Configuration
	id, userWarning, err := c.Daemon.identity()
	if err != nil {
		return nil, err
	}
	rights, rightsWarning, err := c.Daemon.rights(l.Dirs)
	if err != nil {
		return nil, err
	}
	if err := l.Dirs.Make(id); err != nil {
		return nil, err
	}
	if h.Program, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("where this program is: %w", err)
	}
	h.Config, h.Dirs, h.Umask, h.User, h.Rights = c.File, l.Dirs, int(c.Daemon.Umask), id, rights
	for _, warning := range []string{userWarning, rightsWarning} {
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	return warnings, nil
}

// bind takes the lock, which comes first, and the sockets.
func (l *Launch) bind(h *process.Handover) error {
	pidfile, err := process.OpenPidfile(l.Dirs.Pidfile())
	if err != nil {
		return err
	}
	ok, err := pidfile.Lock()
	if err == nil && !ok {
		err = ErrRunning
	}
	if err == nil && offerPidfile(l.Dirs, pidfile) {
		err = ErrRunning // somebody had removed its pidfile, and now it has this one
	}
	if err == nil {
		err = pidfile.Clear()
	}
	if err != nil {
		_ = pidfile.Close()
		return err
	}
	h.AddPidfile(pidfile)
	if err := l.Dirs.UnmarkDown(); err != nil {
		return err
	}
	if err := h.BindControl(); err != nil {
		return err
	}
	if err := l.addFiles(h); err != nil {
		return err
	}
	uid, gid := -1, -1
	if h.User != nil {
		uid, gid = h.User.UID, h.User.GID
	}
	for name, t := range l.Configuration.Transports {
		for _, address := range t.Listens() {
			bound, err := h.Bind(name, address.Network, address.Address)
			if err != nil {
				return err
			}
			if owner, ok := t.(transport.OwningConfig); ok && bound != nil {
				err := owner.Own(bound, uid, gid)
				if errors.Is(err, syscall.EINVAL) && h.User != nil { // a namespace without that user
					err = fmt.Errorf("for user %s: %w: %w", h.User, err, os.ErrPermission)
				}
				if err != nil {
					return fmt.Errorf("transport.%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// addFiles leaves what the daemon may not be able to open to it, open.
func (l *Launch) addFiles(h *process.Handover) error {
	if err := h.AddConfiguration(); err != nil {
		return err
	}
	return h.AddSecrets(slices.Sorted(maps.Keys(l.Configuration.SecretFiles)))
}

// detach starts the daemon and makes sure that it runs, ready, or not at all.
func (l *Launch) detach(ctx context.Context, h *process.Handover, wait time.Duration) (Started, error) {
	pid, err := process.Detach(h, l.environ(h), wait)
	if err == nil {
		return Started{PID: pid}, nil
	}
	if errors.Is(err, process.ErrNotReady) {
		err = l.withReasons(ctx, err)
		const grace = time.Second
		if _, endErr := process.End(ctx, l.Dirs.Pidfile(), process.StopOptions{Timeout: grace}); endErr != nil {
			err = errors.Join(err, fmt.Errorf("end it: %w", endErr))
		}
	}
	// Whatever it died of, it did not crash at work: nothing is running.
	return Started{}, errors.Join(err, h.ClearPidfile(), l.Dirs.RemoveSocket())
}

// withReasons adds to an error what a daemon that is not ready waits for, if it
// knows.
func (l *Launch) withReasons(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	status, askErr := AskStatus(ctx, l.Dirs)
	if askErr != nil || len(status.NotReady) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s", err, strings.Join(status.NotReady, ", "))
}

func (l *Launch) environ(h *process.Handover) []string {
	return h.Environ(l.Parts.EnvPrefix(), l.Configuration.Daemon.Environment)
}

// Foreground makes this process the daemon: it goes on as a clean copy of
// itself that inherits everything, and calls Run. It returns only if it fails.
func (l *Launch) Foreground() error {
	h := l.Inherited
	if h == nil {
		h = &process.Handover{}
	}
	h, err := l.prepare(h)
	if errors.Is(err, ErrRunning) {
		if instance, findErr := process.Find(l.Dirs.Pidfile()); findErr == nil && instance.PID > 0 {
			instance.Close()
			return fmt.Errorf("%w (pid %d)", err, instance.PID)
		}
	}
	if err != nil {
		return err
	}
	err = h.Exec(process.Foreground, l.environ(h))
	err = errors.Join(err, h.ClearPidfile(), l.Dirs.RemoveSocket())
	h.Close()
	return err
}
