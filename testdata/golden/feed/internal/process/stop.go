package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// Stop ends the daemon that holds the lock on the pidfile, if there is one, as
// End does, and returns when the lock is free as well.
func Stop(ctx context.Context, pidfile string, timeout time.Duration, noKill bool, beforeKill func()) (Stopped, error) {
	stopped, err := End(ctx, pidfile, timeout, noKill, beforeKill)
	if err != nil || !stopped.WasRunning {
		return stopped, err
	}
	return stopped, awaitUnlocked(ctx, pidfile)
}

// End ends the daemon that holds the lock on the pidfile, if there is one: TERM,
// to be followed by a drain, and CONT, since a suspended process can't drain; at
// the deadline beforeKill and KILL, or ErrStillRunning if noKill. It returns when
// the process is gone; the caller may hold the lock too.
func End(ctx context.Context, pidfile string, timeout time.Duration, noKill bool, beforeKill func()) (Stopped, error) {
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
	if err := instance.Process.Signal(syscall.SIGTERM, syscall.SIGCONT); err != nil {
		return stopped, err
	}
	deadline, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err = instance.Process.Wait(deadline)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		if noKill {
			return stopped, fmt.Errorf("%w after %s", ErrStillRunning, timeout)
		}
		beforeKill()
		stopped.Killed = true
		if err := instance.Process.Signal(syscall.SIGKILL); err != nil {
			return stopped, err
		}
		err = instance.Process.Wait(ctx)
	}
	return stopped, err
}

// lockGrace is how long the kernel may take to release what a dead process
// held, and no more: then something else holds the lock.
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

// UnmarkDown removes the mark of MarkDown.
func (d Dirs) UnmarkDown() error {
	err := os.Remove(d.Down())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
