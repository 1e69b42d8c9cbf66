//go:build darwin || freebsd

package unix

import (
	"errors"

	"golang.org/x/sys/unix"
)

const tellsCredentials = true

// solLocal is SOL_LOCAL, the level of the options of unix sockets, see unix(4).
const solLocal = 0

// peerCredentials asks with LOCAL_PEERCRED, see unix(4). The first group is the
// one that the process runs as.
func peerCredentials(fd int) (credentials, error) {
	c, err := xucred(fd)
	if err != nil {
		return credentials{}, err
	}
	return credentials{uid: int(c.Uid), gid: int(c.Groups[0])}, nil
}

func peerGroups(fd int) ([]int, error) {
	c, err := xucred(fd)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, gid := range c.Groups[1:c.Ngroups] {
		ids = append(ids, int(gid))
	}
	return ids, nil
}

func xucred(fd int) (*unix.Xucred, error) {
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err == nil && (c.Ngroups < 1 || int(c.Ngroups) > len(c.Groups)) {
		err = errors.New("the kernel names no group")
	}
	return c, err
}
