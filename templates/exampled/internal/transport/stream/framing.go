// The framing: where a message ends in a stream of bytes.

package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The framings. A line ends with "\n" or "\r\n", which are no part of the message.
// Before a message of a length stand four bytes with that length, the most
// significant first.
const (
	FramingLine   = "line"
	FramingLength = "length"
)

var framings = map[string]framing{
	FramingLine:   lines{},
	FramingLength: lengths{},
}

var errTooLong = errors.New("message too long")

// framing finds messages in what was received, and frames replies.
type framing interface {
	// next returns the first message in b, and how many bytes it takes with its
	// frame; 0 when it is not complete. The first scanned bytes of b were seen
	// before, when it was not complete either. It fails with errTooLong when the
	// message has, or will have, more than limit bytes.
	next(b []byte, scanned, limit int) (message []byte, size int, err error)

	// appendReply appends a framed reply to out. It reports whether the framing
	// has changed the reply.
	appendReply(out, reply []byte) (_ []byte, changed bool)
}

type lines struct{}

func (lines) next(b []byte, scanned, limit int) ([]byte, int, error) {
	i := bytes.IndexByte(b[scanned:], '\n')
	if i < 0 {
		// One byte over the limit may be the carriage return of the line's end.
		if len(b) > limit+1 {
			return nil, 0, errTooLong
		}
		return nil, 0, nil
	}
	i += scanned
	end := i
	if end > 0 && b[end-1] == '\r' {
		end--
	}
	if end > limit {
		return nil, 0, errTooLong
	}
	return b[:end:end], i + 1, nil
}

// appendReply makes one line of a reply, whatever the handler made of it: a line
// end at its end is dropped, and lines within are joined by spaces.
func (lines) appendReply(out, reply []byte) (_ []byte, joined bool) {
	if n := len(reply); n > 0 && reply[n-1] == '\n' {
		reply = bytes.TrimSuffix(reply[:n-1], []byte("\r"))
	}
	start := len(out)
	out = append(out, reply...)
	if joined = bytes.IndexByte(reply, '\n') >= 0; joined {
		for i, b := range out[start:] {
			if b == '\n' {
				out[start+i] = ' '
			}
		}
	}
	return append(out, '\n'), joined
}

type lengths struct{}

const lengthSize = 4

func (lengths) next(b []byte, _, limit int) ([]byte, int, error) {
	if len(b) < lengthSize {
		return nil, 0, nil
	}
	length := int64(binary.BigEndian.Uint32(b)) // more than an int takes on some machines
	if length > int64(limit) {
		return nil, 0, errTooLong
	}
	end := lengthSize + int(length)
	if len(b) < end {
		return nil, 0, nil
	}
	return b[lengthSize:end:end], end, nil
}

func (lengths) appendReply(out, reply []byte) ([]byte, bool) {
	out = binary.BigEndian.AppendUint32(out, uint32(len(reply)))
	return append(out, reply...), false
}
