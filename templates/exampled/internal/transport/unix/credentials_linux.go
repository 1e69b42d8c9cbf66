package unix

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tellsCredentials = true

// peerCredentials asks with SO_PEERCRED, see unix(7).
func peerCredentials(fd int) (credentials, error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return credentials{}, err
	}
	return credentials{uid: int(c.Uid), gid: int(c.Gid), pid: int(c.Pid)}, nil
}

// peerGroups asks with SO_PEERGROUPS, which Linux 4.13 and later have, see unix(7).
func peerGroups(fd int) ([]int, error) {
	for room := 32; ; {
		groups := make([]uint32, room)
		size := uint32(room) * uint32(unsafe.Sizeof(groups[0]))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		have := int(size) / int(unsafe.Sizeof(groups[0]))
		switch {
		case errors.Is(errno, unix.ERANGE) && have > room:
			room = have
			continue
		case errors.Is(errno, unix.ENOPROTOOPT):
			return nil, nil
		case errno != 0:
			return nil, os.NewSyscallError("getsockopt", errno)
		}
		ids := make([]int, have)
		for i := range ids {
			ids[i] = int(groups[i])
		}
		return ids, nil
	}
}
