//go:build !linux

package process

// What systems without OFD locks, pidfds and /proc give. The lock is flock(2):
// it passes on with the descriptor as well, but to ask for it is to take it for
// a moment. The holder can't be proven, so a signal goes to the pid in the
// pidfile after a look at the lock, as close together as the system allows.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"example.com/edm/internal/filelock"
)

func tryLock(file *os.File) (bool, error) { return filelock.Try(file) }

func isLocked(file *os.File) (bool, error) {
	free, err := filelock.TryShared(file)
	if err != nil || !free {
		return err == nil, err
	}
	return false, filelock.Unlock(file)
}

// Process is a process named by its pid.
type Process struct{ PID int }

func openHolder(pid int, file *os.File) (*Process, error) {
	locked, err := isLocked(file)
	if err != nil {
		return nil, err
	}
	p := &Process{pid}
	if !locked || p.gone() {
		return nil, errNotHolder
	}
	return p, nil
}

func holdsLock(int, *os.File) (bool, error) { return true, nil }

func searchHolders(*os.File) ([]*Process, error) { return nil, nil }

func (p *Process) ended(time.Duration) bool { return p.gone() }

// Signal sends signals, in order. It is no error if the process has ended.
func (p *Process) Signal(signals ...syscall.Signal) error {
	for _, s := range signals {
		if err := unix.Kill(p.PID, s); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal process %d: %w", p.PID, err)
		}
	}
	return nil
}

// Wait returns when the process has ended, or with ctx's error.
func (p *Process) Wait(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.gone() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

func (p *Process) gone() bool { return errors.Is(unix.Kill(p.PID, 0), unix.ESRCH) }

// Close releases the handle, not the process.
func (p *Process) Close() {}

// maxDescriptor bounds the search for inherited descriptors.
const maxDescriptor = 1024

func closeOnExecFrom(first int) error {
	for fd := first; fd < maxDescriptor; fd++ {
		unix.CloseOnExec(fd)
	}
	return nil
}

func clearSignalMask() (restore func(), err error) { return func() {}, nil }

func program() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// NameProcess does nothing here: the program runs under its own path.
func NameProcess(string) {}

// memoryFile is a file that has no name any more.
func memoryFile(name string) (*os.File, error) {
	file, err := os.CreateTemp("", name+"-*")
	if err != nil {
		return nil, err
	}
	return file, os.Remove(file.Name())
}

var begun = time.Now()

// monotonic is a time that no setting of a clock changes.
func monotonic() time.Duration { return time.Since(begun) }

func duplicate(from, to int) error { return unix.Dup2(from, to) }

// changeTime is not asked here: its field has another name on each system.
func changeTime(*syscall.Stat_t) time.Time { return time.Time{} }

// peerUID is the user on the other end of a unix socket; without a common call
// for it the mode of the socket, 0600, is the protection.
func peerUID(uintptr) (int, error) { return os.Geteuid(), nil }
