package unix

import "golang.org/x/sys/unix"

const tellsCredentials = true

// peerCredentials asks with SO_PEERCRED, see unix(7).
func peerCredentials(fd int) (credentials, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return credentials{}, err
	}
	return credentials{uid: int(c.Uid), gid: int(c.Gid), pid: int(c.Pid)}, nil
}
