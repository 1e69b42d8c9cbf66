// Messages in the boxes of CURVE.

package zmtp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/nacl/box"
)

// The flags of what is in a box. libzmq sets them, and leaves those of the frame
// around it unset; RFC 26 knows the first only.
const (
	boxedMore    = 1
	boxedCommand = 2
)

// messageName begins a frame with a box. It is followed by what is sent of the
// nonce, and by the box.
const messageName = "\x07MESSAGE"

// boxOverhead is how much longer such a frame is than what it is about.
const boxOverhead = len(messageName) + shortNonce + box.Overhead + 1

// cipher opens and seals frames. The two directions are independent of each
// other, and each is used by one goroutine at a time.
type cipher struct {
	key [KeySize]byte

	receivePrefix string
	received      uint64 // the last nonce

	sendPrefix string
	sent       uint64 // the next nonce
	plain      []byte // what is sealed, for use again
}

// next takes the next nonce of the peer, if it is a new one: else somebody sends
// again what the peer has sent before.
func (c *cipher) next(nonce uint64) bool {
	if nonce <= c.received {
		return false
	}
	c.received = nonce
	return true
}

// open returns what is in the body of a frame, with flags as for a frame.
func (c *cipher) open(frame []byte) (flags byte, body []byte, err error) {
	if len(frame) < boxOverhead || string(frame[:len(messageName)]) != messageName {
		return 0, nil, fmt.Errorf("%w: a frame that is no MESSAGE of CURVE", ErrProtocol)
	}
	rest := frame[len(messageName):]
	nonce := binary.BigEndian.Uint64(rest)
	plain, ok := box.OpenAfterPrecomputation(nil, rest[shortNonce:], counted(c.receivePrefix, nonce), &c.key)
	if !ok || !c.next(nonce) {
		return 0, nil, fmt.Errorf("%w: a MESSAGE of CURVE that can't be opened", ErrAuthentication)
	}
	switch plain[0] & (boxedMore | boxedCommand) {
	case boxedMore:
		flags = flagMore
	case boxedCommand:
		flags = flagCommand
	case boxedMore | boxedCommand:
		return 0, nil, fmt.Errorf("%w: a command of several frames", ErrProtocol)
	}
	return flags, plain[1:], nil
}

// seal appends a frame with a box to out.
func (c *cipher) seal(out []byte, flags byte, body []byte) []byte {
	var boxed byte
	if flags&flagMore != 0 {
		boxed |= boxedMore
	}
	if flags&flagCommand != 0 {
		boxed |= boxedCommand
	}
	c.plain = append(append(c.plain[:0], boxed), body...)
	out = append(appendHeader(out, 0, boxOverhead+len(body)), messageName...)
	out = binary.BigEndian.AppendUint64(out, c.sent)
	out = box.SealAfterPrecomputation(out, c.plain, counted(c.sendPrefix, c.sent), &c.key)
	c.sent++
	if cap(c.plain) > maxChunk {
		c.plain = nil
	}
	return out
}
