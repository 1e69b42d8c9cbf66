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
	c, err := unix.GetsockoptXucred(fd, solLocal, unix.LOCAL_PEERCRED)
	if err != nil {
		return credentials{}, err
	}
	if c.Ngroups < 1 {
		return credentials{}, errors.New("the kernel names no group")
	}
	return credentials{uid: int(c.Uid), gid: int(c.Groups[0])}, nil
}
