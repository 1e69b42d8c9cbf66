// Frames: what the stream of bytes consists of after the greeting.

package zmtp

import (
	"encoding/binary"
	"fmt"
)

// The flags of a frame.
const (
	flagMore    = 1 // another frame of the same message follows
	flagLong    = 2 // the size has 8 bytes
	flagCommand = 4 // the frame is a command, and no part of a message
)

// header is the beginning of a frame.
type header struct {
	flags byte
	len   int    // of the header
	size  uint64 // of what follows
}

// parseHeader reads the header of the frame that b begins with. It reports false
// if not all of it is there.
func parseHeader(b []byte) (h header, ok bool, err error) {
	if len(b) == 0 {
		return h, false, nil
	}
	h.flags = b[0]
	if h.flags&^(flagMore|flagLong|flagCommand) != 0 || h.flags&(flagCommand|flagMore) == flagCommand|flagMore {
		return h, false, fmt.Errorf("%w: a frame with the flags %#02x", ErrProtocol, h.flags)
	}
	if h.flags&flagLong == 0 {
		if len(b) < 2 {
			return h, false, nil
		}
		h.len, h.size = 2, uint64(b[1])
		return h, true, nil
	}
	if len(b) < 9 {
		return h, false, nil
	}
	h.len, h.size = 9, binary.BigEndian.Uint64(b[1:])
	return h, true, nil
}

// appendHeader appends the header of a frame of so many bytes; flags has no
// flagLong.
func appendHeader(out []byte, flags byte, size int) []byte {
	if size > 255 {
		return binary.BigEndian.AppendUint64(append(out, flags|flagLong), uint64(size))
	}
	return append(out, flags, byte(size))
}

func appendFrame(out []byte, flags byte, body []byte) []byte {
	return append(appendHeader(out, flags, len(body)), body...)
}
