package process

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// moveTo moves what is at from to a path where there is nothing yet; else it fails
// with fs.ErrExist. An empty directory, too, is something: others may be about to
// make one in it.
func moveTo(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS): // the file system, or the kernel, can't
		return moveIfMissing(from, to)
	}
	return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
}
