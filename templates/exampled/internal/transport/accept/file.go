package accept

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// A File is that of a unix socket. What is changed is the file itself, never what
// a link leads to that has taken its place: its folder may belong to the user of the
// service, and who changes the file may be root.
type File struct {
	path string
	file *os.File // nil on systems that open no sockets
	info fs.FileInfo
}

// OpenFile finds the file of a socket. The caller closes it.
func OpenFile(path string) (*File, error) {
	file, info, err := openSocket(path)
	if err != nil {
		return nil, err
	}
	f := &File{path, file, info}
	if info.Mode().Type() != fs.ModeSocket {
		f.Close()
		return nil, fmt.Errorf("%s is no socket any more", path)
	}
	return f, nil
}

// Close ends the use of f.
func (f *File) Close() {
	if f.file != nil {
		_ = f.file.Close()
	}
}

// Owner returns whose the file was when it was opened.
func (f *File) Owner() (uid, gid int) {
	stat := f.info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid)
}

// Chown gives the file to a user and a group; -1 leaves either as it is. What is so
// already takes no rights.
func (f *File) Chown(uid, gid int) error {
	hasUID, hasGID := f.Owner()
	if (uid < 0 || uid == hasUID) && (gid < 0 || gid == hasGID) {
		return nil
	}
	return f.chown(uid, gid)
}

// Chmod gives the file the mode, which has permissions only. What is so already
// takes no rights.
func (f *File) Chmod(mode fs.FileMode) error {
	if f.info.Mode().Perm() == mode {
		return nil
	}
	return f.chmod(mode)
}
