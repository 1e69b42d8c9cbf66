// Commands, by which the peers themselves speak, and the properties that some of
// them carry.

package zmtp

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// The largest commands that are taken. In a handshake the largest that a peer
// may need is an INITIATE of CURVE, 257 bytes and the properties; later it is a
// SUBSCRIBE, 10 bytes and the topic.
const (
	maxHandshakeCommand = 4 << 10
	maxCommand          = 1 << 10
)

// command makes a command, the body of a frame. What follows the name is in pieces.
func command(name string, body ...[]byte) []byte {
	out := append([]byte{byte(len(name))}, name...)
	for _, b := range body {
		out = append(out, b...)
	}
	return out
}

// parseCommand splits the body of a frame that is a command.
func parseCommand(b []byte) (name string, body []byte, err error) {
	first, rest, ok := cutShort(b)
	if !ok || len(first) == 0 {
		return "", nil, fmt.Errorf("%w: a command without a name", ErrProtocol)
	}
	return string(first), rest, nil
}

// cutShort cuts off a text that follows its length, a byte.
func cutShort(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, b, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// peerError is the error for an ERROR that a peer sends.
func peerError(body []byte) error {
	reason, _, ok := cutShort(body)
	if !ok {
		return fmt.Errorf("%w: an ERROR without a reason", ErrProtocol)
	}
	return fmt.Errorf("%w: the peer says ERROR %q", ErrAuthentication, reason)
}

// properties are what a peer says of itself when it is sure of the other one.
type properties struct {
	socketType string
	identity   string
}

// maxIdentity is the length of the longest Identity that there can be.
const maxIdentity = 255

func (p properties) bytes() []byte {
	b := appendProperty(nil, "Socket-Type", p.socketType)
	switch p.socketType {
	case "REQ", "DEALER", "ROUTER": // the others have no identity
		b = appendProperty(b, "Identity", p.identity)
	}
	return b
}

func appendProperty(out []byte, name, value string) []byte {
	out = append(append(out, byte(len(name))), name...)
	return append(binary.BigEndian.AppendUint32(out, uint32(len(value))), value...)
}

// parseProperties reads properties. Names that are not known are left out.
func parseProperties(b []byte) (p properties, err error) {
	for len(b) > 0 {
		name, rest, ok := cutShort(b)
		if !ok || len(name) == 0 || len(rest) < 4 {
			return p, fmt.Errorf("%w: a property without a name or size", ErrProtocol)
		}
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return p, fmt.Errorf("%w: the property %.20q ends too early", ErrProtocol, name)
		}
		value := string(rest[:size])
		switch b = rest[size:]; strings.ToLower(string(name)) {
		case "socket-type":
			p.socketType = value
		case "identity":
			if len(value) > maxIdentity {
				return p, fmt.Errorf("%w: an identity of %d bytes", ErrProtocol, len(value))
			}
			p.identity = value
		}
	}
	return p, nil
}
