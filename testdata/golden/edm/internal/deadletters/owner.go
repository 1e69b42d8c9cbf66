// Whose the files are: what root makes here has to be the service's.

package deadletters

import (
	"io/fs"
	"os"
	"syscall"
)

// ownership is the user and the group of a file.
type ownership struct{ uid, gid int }

func ownerOf(info fs.FileInfo) ownership {
	stat := info.Sys().(*syscall.Stat_t)
	return ownership{int(stat.Uid), int(stat.Gid)}
}

// giveTo makes a file that was just made that of o, if this process is root's.
// Nobody else can give files away, or has to.
func (o ownership) giveTo(file *os.File) error {
	info, err := file.Stat()
	if err != nil || os.Geteuid() != 0 || ownerOf(info) == o {
		return err
	}
	return file.Chown(o.uid, o.gid)
}
