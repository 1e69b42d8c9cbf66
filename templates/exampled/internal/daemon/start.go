package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/process"
)

// Launch is a service about to be started.
type Launch struct {
	Parts         Parts
	Configuration *Configuration
	Dirs          process.Dirs
	Warn          func(message string) // what the starter should know
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
		h, err := l.prepare()
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
// there is no point in starting: directories, the lock, the sockets. It returns
// ErrRunning if another process holds the lock.
func (l *Launch) prepare() (*process.Handover, error) {
	c := l.Configuration
	id, warning, err := c.Daemon.identity()
	if err != nil {
		return nil, err
	}
	if err := l.Dirs.Make(id); err != nil {
		return nil, err
	}
	h := &process.Handover{Config: c.File, Dirs: l.Dirs, Umask: int(c.Daemon.Umask), User: id}
	if err := l.bind(h); err != nil {
		h.Close()
		return nil, err
	}
	if warning != "" {
		l.Warn(warning)
	}
	return h, nil
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
	if err == nil {
		err = pidfile.Clear()
	}
	if err != nil {
		_ = pidfile.Close()
		return err
	}
	h.AddPidfile(pidfile)
	if l.answers() {
		return ErrRunning // somebody has removed its pidfile
	}
	if err := l.Dirs.UnmarkDown(); err != nil {
		return err
	}
	if err := h.BindControl(); err != nil {
		return err
	}
	if err := h.AddConfiguration(); err != nil {
		return err
	}
	for _, t := range l.Configuration.Transports {
		for _, address := range t.Listens() {
			if err := h.Bind(address.Network, address.Address); err != nil {
				return err
			}
		}
	}
	return nil
}

// answers reports whether a daemon answers on the control socket.
func (l *Launch) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := AskStatus(ctx, l.Dirs)
	return err == nil
}

// detach starts the daemon and makes sure that it runs, ready, or not at all.
func (l *Launch) detach(ctx context.Context, h *process.Handover, wait time.Duration) (Started, error) {
	pid, err := process.Detach(h, process.Environ(l.Parts.EnvPrefix(), h.User), wait)
	if err == nil {
		return Started{PID: pid}, nil
	}
	if errors.Is(err, process.ErrNotReady) {
		const grace = time.Second
		if _, endErr := process.End(ctx, l.Dirs.Pidfile(), grace, false, func() {}); endErr != nil {
			err = errors.Join(err, fmt.Errorf("end it: %w", endErr))
		}
	}
	// Whatever it died of, it did not crash at work: nothing is running.
	return Started{}, errors.Join(err, h.ClearPidfile())
}

// Foreground makes this process the daemon. It returns, with what to hand to
// Run, unless the daemon is to run as another user: then this process goes on
// as a clean copy of itself that inherits everything.
func (l *Launch) Foreground() (*process.Handover, error) {
	h, err := l.prepare()
	if errors.Is(err, ErrRunning) {
		if instance, findErr := process.Find(l.Dirs.Pidfile()); findErr == nil && instance.PID > 0 {
			instance.Close()
			return nil, fmt.Errorf("%w (pid %d)", err, instance.PID)
		}
	}
	if err != nil {
		return nil, err
	}
	if h.User != nil {
		err := h.Exec(process.Environ(l.Parts.EnvPrefix(), h.User))
		h.Close()
		return nil, err
	}
	h.Stage = process.Foreground
	return h, nil
}
