//go:build !linux

package accept

import (
	"io/fs"
	"os"
)

// openSocket looks at the file: other systems open no sockets. Who may exchange the
// file between the look and a change of its mode is not kept from that.
func openSocket(path string) (*os.File, fs.FileInfo, error) {
	info, err := os.Lstat(path)
	return nil, info, err
}

func (f *File) chown(uid, gid int) error { return os.Lchown(f.path, uid, gid) }

func (f *File) chmod(mode fs.FileMode) error { return os.Chmod(f.path, mode) }
