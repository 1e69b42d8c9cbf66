// Package filelock locks open files against others who open them, in this process or
// another, with flock(2).
//
// A lock belongs to the open file: it ends with [Unlock], when its last descriptor
// is closed, and so with the death of the process. It says nothing of the name: who
// locks a file that others may remove or exchange looks afterwards whether it is
// still there. None of these functions waits.
package filelock

import (
	"os"
	"syscall"
)

// Try locks the file for its holder alone. It reports false if somebody else holds
// a lock on it.
func Try(file *os.File) (bool, error) { return flock(file, syscall.LOCK_EX|syscall.LOCK_NB) }

// TryShared locks the file against those who want it for themselves. It reports
// false if one of them holds it.
func TryShared(file *os.File) (bool, error) { return flock(file, syscall.LOCK_SH|syscall.LOCK_NB) }

// Unlock gives the lock back. Without one it does nothing.
func Unlock(file *os.File) error {
	_, err := flock(file, syscall.LOCK_UN)
	return err
}

// flock reports false where it would have to wait. It leaves the file in the mode
// that it is in, which Fd would not: reads of a pipe can have deadlines afterwards.
func flock(file *os.File, how int) (bool, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return false, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for failed = syscall.EINTR; failed == syscall.EINTR; {
			failed = syscall.Flock(int(fd), how)
		}
	})
	switch {
	case err != nil:
		return false, err
	case failed == syscall.EWOULDBLOCK:
		return false, nil
	case failed != nil:
		return false, &os.PathError{Op: "lock", Path: file.Name(), Err: failed}
	}
	return true, nil
}
