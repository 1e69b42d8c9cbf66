// The files of a journal: regular, private, and locked by the process that they
// belong to.

package worker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"example.com/fee/internal/filelock"
)

// maxFile is the most that is read of a file, and more than it ever grows to.
const maxFile = 16 << 20

// lockFile opens a file for this process alone. It returns nil if the file
// belongs to another process, which lives, or is missing and not to be made.
func lockFile(path string, create bool) (*os.File, error) {
	flags := os.O_RDWR | os.O_APPEND | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	if create {
		flags |= os.O_CREATE
	}
	for {
		f, err := os.OpenFile(path, flags, 0o600)
		if errors.Is(err, fs.ErrNotExist) && !create {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		locked, err := filelock.Try(f)
		if err == nil && locked {
			var current bool
			if current, err = isAt(f, path); current {
				return f, nil
			}
		}
		_ = f.Close()
		if err != nil || !locked {
			return nil, err
		}
		// While it was opened its owner has exchanged or removed it.
	}
}

// isAt reports whether f is what path names, and fails if that is no regular file.
func isAt(f *os.File, path string) (bool, error) {
	mine, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !mine.Mode().IsRegular() {
		return false, fmt.Errorf("%s is not a regular file", path)
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, there), err
}

func readFile(f *os.File) ([]byte, error) {
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// createFile makes a file with contents for this process alone.
func createFile(path string, contents []byte) (_ *os.File, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(path)
		}
	}()
	if _, err := filelock.Try(f); err != nil {
		return nil, err
	}
	_, err = f.Write(contents)
	return f, err
}

// removeFiles removes locked files, or empties them at least.
func removeFiles(files []*os.File) {
	for _, f := range files {
		_ = os.Remove(f.Name())
		_ = f.Truncate(0)
	}
}
