package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrStillRunning means that the daemon was running at the deadline, and was
// not to be killed.
var ErrStillRunning = errors.New("still running")

// ErrUnproven means that the lock is held, but not provably by which process,
// so that none may be signalled.
var ErrUnproven = errors.New("the process that holds the lock can't be identified")

// Stopped tells how a daemon ended.
type Stopped struct {
	WasRunning bool
	PID        int
	Killed     bool
}

// StopOptions say how to end a daemon.
type StopOptions struct {
	Timeout    time.Duration // for the drain
	NoKill     bool          // at the deadline
	IsDraining func() bool   // whether it has been told to stop already; nil: no
	BeforeKill func()        // called at the deadline; or nil
}

// Stop ends the daemon that holds the lock on the pidfile, if there is one, as
// End does, and returns when the lock is free as well. If another process takes
// over at the same moment, by an upgrade, it is ended too. One that was killed
// has left its pid in the pidfile; it is taken out, since that was no crash.
func Stop(ctx context.Context, pidfile string, options StopOptions) (Stopped, error) {
	stopped, err := End(ctx, pidfile, options)
	for err == nil && stopped.WasRunning {
		instance, findErr := Find(pidfile)
		if findErr != nil || instance.Process == nil || instance.PID == stopped.PID {
			err := awaitUnlocked(ctx, pidfile)
			if err == nil && stopped.Killed {
				clearKilled(pidfile)
			}
			return stopped, err
		}
		instance.Close()
		var next Stopped
		if next, err = End(ctx, pidfile, options); !next.WasRunning {
			break
		}
		next.Killed = next.Killed || stopped.Killed
		stopped = next
	}
	return stopped, err
}

// End ends the daemon that holds the lock on the pidfile, if there is one: TERM,
// to be followed by a drain, which another TERM would cut short, and CONT, since a
// suspended process can't drain; at the deadline KILL, or ErrStillRunning. It returns when
// the process is gone, and what it has started; the caller may hold the lock too.
func End(ctx context.Context, pidfile string, options StopOptions) (Stopped, error) {
	instance, err := Find(pidfile)
	if err != nil {
		return Stopped{}, err
	}
	defer instance.Close()
	if !instance.Running {
		return Stopped{}, nil
	}
	if instance.Process == nil {
		return Stopped{WasRunning: true}, ErrUnproven
	}
	stopped := Stopped{WasRunning: true, PID: instance.PID}
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT}
	if options.IsDraining != nil && options.IsDraining() {
		signals = signals[1:]
	}
	if err := instance.Process.Signal(signals...); err != nil {
		return stopped, err
	}
	deadline, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	err = instance.Process.Wait(deadline)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		if options.NoKill {
			return stopped, fmt.Errorf("%w after %s", ErrStillRunning, options.Timeout)
		}
		if options.BeforeKill != nil {
			options.BeforeKill()
		}
		stopped.Killed = true
		err = kill(ctx, instance.Process, pidfile)
	}
	return stopped, err
}

// kill ends the daemon at once, with what it has started, and with the processes
// that were the daemon before an upgrade and that hold the lock as well.
func kill(ctx context.Context, daemon *Process, pidfile string) error {
	others := openChildren(daemon.PID, seemsOwnGroup(daemon.PID))
	if file, err := os.Open(pidfile); err == nil {
		holders, _ := searchHolders(file)
		_ = file.Close()
		for _, p := range holders {
			if p.PID == os.Getpid() {
				p.Close() // a start that gives up
			} else {
				others = append(others, p)
			}
		}
	}
	if err := daemon.Signal(syscall.SIGKILL); err != nil {
		others.Close()
		return err
	}
	err := daemon.Wait(ctx)
	others.End(0)
	return err
}

// clearKilled empties the pidfile if nobody is the daemon. Who may stop a daemon
// may not always write there: then it is left as it is.
func clearKilled(path string) {
	pidfile, err := OpenPidfile(path)
	if err != nil {
		return
	}
	defer func() { _ = pidfile.Close() }()
	if ok, err := pidfile.Lock(); err == nil && ok {
		_ = pidfile.Clear()
	}
}

// lockGrace is how long the kernel may take to release what a dead process
// held, and no more: then something else holds the lock. A process with many
// threads on a busy machine takes longest.
const lockGrace = 2 * time.Second

func awaitUnlocked(ctx context.Context, pidfile string) error {
	ctx, cancel := context.WithTimeout(ctx, lockGrace)
	defer cancel()
	for {
		file, err := os.Open(pidfile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("pidfile: %w", err)
		}
		locked, err := isLocked(file)
		_ = file.Close()
		if err != nil || !locked {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("the daemon is gone, but another process holds the lock of its pidfile")
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// MarkDown notes that the admin wants the service to stay down, for whoever
// would start it again by itself; start removes the mark.
func (d Dirs) MarkDown() error {
	if _, err := os.Stat(d.Run); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	file, err := os.OpenFile(d.Down(), os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return fmt.Errorf("mark the service down: %w", err)
	}
	return file.Close()
}

// UnmarkDown removes the mark of MarkDown, and the note of a watchdog that has
// given up.
func (d Dirs) UnmarkDown() error {
	for _, path := range []string{d.Down(), d.GaveUp()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// WhyGivenUp is what a watchdog that has given up says of it; "" if none has.
func (d Dirs) WhyGivenUp() string {
	file, err := os.OpenFile(d.GaveUp(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	text, _ := io.ReadAll(io.LimitReader(file, 1000))
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}
