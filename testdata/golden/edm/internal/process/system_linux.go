package process

// What Linux gives to tell processes and descriptors from each other: OFD locks,
// pidfds, /proc, close_range. See rights_linux.go for what a process may do.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wholeFile describes a write lock on all of a file, see fcntl(2), "Open file
// description locks".
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: 0} }

func tryLock(file *os.File) (bool, error) {
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, wholeFile())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// isLocked asks without taking, so it disturbs no starter.
func isLocked(file *os.File) (bool, error) {
	lock := wholeFile()
	err := unix.FcntlFlock(file.Fd(), unix.F_OFD_GETLK, lock)
	return lock.Type != unix.F_UNLCK, err
}

// Process is a process that can't be mistaken for another one: the handle
// stays with it when its pid is used again.
type Process struct {
	PID   int
	pidfd int
}

// openHolder returns the process pid if it holds the lock on file.
func openHolder(pid int, file *os.File) (*Process, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, errNotHolder
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	p := &Process{pid, pidfd}
	holds, err := holdsLock(pid, file)
	// What was read of /proc is of this process only if it still lives.
	if err == nil && (!holds || p.ended(0)) {
		err = errNotHolder
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// searchHolders looks through all processes for those that hold the lock on
// file. There are several while a daemon is being started, or upgraded.
func searchHolders(file *os.File) ([]*Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var holders []*Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// Another user's, or gone: not provable.
		if p, err := openHolder(pid, file); err == nil {
			holders = append(holders, p)
		}
	}
	return holders, nil
}

// holdsLock reports whether one of the descriptors of the process pid is the
// same file as ours and carries a lock (proc(5), /proc/PID/fdinfo).
func holdsLock(pid int, file *os.File) (holds bool, err error) {
	holds, err = showsLock(pid, file)
	if !errors.Is(err, fs.ErrPermission) || os.Geteuid() != 0 {
		return holds, err
	}
	// Root may look at a process of another user only with CAP_SYS_PTRACE, which
	// it lacks in most containers; that user may.
	if asErr := asOwnerOf(pid, func() { holds, err = showsLock(pid, file) }); asErr != nil {
		return false, err
	}
	return holds, err
}

// asOwnerOf has the thread look at files as the user of the process pid while do
// runs (setfsuid(2)).
func asOwnerOf(pid int, do func()) error {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := unix.SetfsgidRetGid(int(owner.Gid)); err != nil {
		return err
	}
	defer func() { _, _ = unix.SetfsgidRetGid(os.Getegid()) }()
	if _, err := unix.SetfsuidRetUid(int(owner.Uid)); err != nil {
		return err
	}
	defer func() { _, _ = unix.SetfsuidRetUid(os.Geteuid()) }()
	do()
	return nil
}

func showsLock(pid int, file *os.File) (bool, error) {
	ours, err := file.Stat()
	if err != nil {
		return false, err
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("process %d: %w", pid, err)
	}
	for _, fd := range fds {
		theirs, err := os.Stat(filepath.Join(dir, "fd", fd.Name()))
		if errors.Is(err, fs.ErrPermission) {
			return false, fmt.Errorf("process %d: %w", pid, err)
		}
		if err != nil || !os.SameFile(ours, theirs) {
			continue
		}
		info, err := os.ReadFile(filepath.Join(dir, "fdinfo", fd.Name()))
		if err == nil && bytes.Contains(info, []byte("OFDLCK")) {
			return true, nil
		}
	}
	return false, nil
}

// Signal sends signals, in order. It is no error if the process has ended.
func (p *Process) Signal(signals ...syscall.Signal) error {
	for _, s := range signals {
		err := unix.PidfdSendSignal(p.pidfd, s, nil, 0)
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("signal process %d: %w", p.PID, err)
		}
	}
	return nil
}

// Wait returns when the process has ended, reaped or not, or with ctx's error.
func (p *Process) Wait(ctx context.Context) error {
	for ctx.Err() == nil {
		if p.ended(50 * time.Millisecond) {
			return nil
		}
	}
	return ctx.Err()
}

// ended reports whether the process has ended, waiting for it up to timeout. A
// zombie has ended.
func (p *Process) ended(timeout time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(timeout.Milliseconds()))
	return err == nil && n == 1
}

// Close releases the handle, not the process.
func (p *Process) Close() { _ = unix.Close(p.pidfd) }

func closeOnExecFrom(first int) error {
	err := unix.CloseRange(uint(first), math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	// Before Linux 5.11.
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, entry := range fds {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd >= first {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// clearSignalMask empties the signal mask of this thread, which the caller has
// locked, and returns what puts it back.
func clearSignalMask() (restore func(), err error) {
	var empty, before unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &empty, &before); err != nil {
		return nil, err
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }, nil
}

// program is the path of the running program: the image itself, also when the
// user that the daemon becomes may not search its folder.
func program() string { return "/proc/self/exe" }

// NameProcess shows name in ps and pgrep: an image run by its descriptor would
// be called exe. The main goroutine calls it first of all, while it still is on
// the main thread, whose name it is.
func NameProcess(name string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if text, err := unix.BytePtrFromString(name); err == nil && unix.Gettid() == unix.Getpid() {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(text)), 0, 0, 0)
	}
}

// memoryFile is a file that has no name and takes no disk.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// monotonic is the time of CLOCK_MONOTONIC, which no setting of a clock changes.
func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // can't fail: the clock exists
	return time.Duration(now.Nano())
}

// duplicate makes to another descriptor of the open file from, which reaches the
// programs that this process executes.
func duplicate(from, to int) error { return unix.Dup3(from, to, 0) }

// changeTime is when the file, its name or its rights last changed.
func changeTime(stat *syscall.Stat_t) time.Time { return time.Unix(stat.Ctim.Unix()) }

// peerUID is the user on the other end of a unix socket.
func peerUID(fd uintptr) (int, error) {
	cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}
