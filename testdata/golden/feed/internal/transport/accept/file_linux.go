package accept

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openSocket opens the file as such, not what it leads to (open(2), O_PATH).
func openSocket(path string) (*os.File, fs.FileInfo, error) {
	file, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, info, nil
}

func (f *File) chown(uid, gid int) error {
	err := unix.Fchownat(int(f.file.Fd()), "", uid, gid, unix.AT_EMPTY_PATH)
	return pathError("chown", f.path, err)
}

// chmod goes by /proc, as there is no such call for what was opened by O_PATH before
// Linux 6.6.
func (f *File) chmod(mode fs.FileMode) error {
	err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.file.Fd()), uint32(mode))
	return pathError("chmod", f.path, err)
}

// pathError is that of the package os.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
