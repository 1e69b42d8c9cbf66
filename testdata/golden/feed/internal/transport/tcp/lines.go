// The framing: one message a line.

package tcp

import (
	"bytes"
	"errors"
)

// A chunk is what lines are read into and cut from. A small one costs an idle
// connection little, a large one saves a busy connection calls to the kernel;
// one that is left with less than minRead is replaced.
const (
	minRead  = 512
	minChunk = 2 << 10
	maxChunk = 16 << 10
)

var errTooLong = errors.New("line too long")

// lines cuts a stream of bytes into lines. A line that was given out is never
// written to again: what is left of a full chunk moves to a fresh one, and the
// old one is collected with the last line that was cut from it.
type lines struct {
	buf     []byte // read but not given out; its capacity is the rest of the chunk
	scanned int    // this much of buf is known to hold no line end
	chunk   int    // size of the newest chunk
	filled  bool   // the last read filled the chunk: more was waiting
}

// space returns where the next bytes are to be read to, at least one byte.
// What it returns depends on limit so that a chunk never outgrows the longest
// line by much.
func (l *lines) space(limit int) []byte {
	if cap(l.buf)-len(l.buf) < minRead {
		l.renew(limit)
	}
	return l.buf[len(l.buf):cap(l.buf)]
}

// renew moves what is not given out to a fresh chunk. The chunks of a
// connection grow while its reads fill them and shrink when they don't.
func (l *lines) renew(limit int) {
	if l.filled {
		l.chunk = min(2*l.chunk, maxChunk)
	} else {
		l.chunk /= 2
	}
	l.chunk = max(l.chunk, minChunk)
	held := len(l.buf)
	size := max(l.chunk, held+minRead, min(2*held, limit+minRead))
	l.buf = append(make([]byte, 0, size), l.buf...)
}

// read takes note that n bytes were read to the front of space.
func (l *lines) read(n int) {
	l.buf = l.buf[:len(l.buf)+n]
	l.filled = len(l.buf) == cap(l.buf)
}

// next cuts off the next line and returns it without its end, "\n" or "\r\n".
// It reports false when no whole line is there, and errTooLong when the next
// line has, or will have, more than limit bytes.
func (l *lines) next(limit int) ([]byte, bool, error) {
	i := bytes.IndexByte(l.buf[l.scanned:], '\n')
	if i < 0 {
		l.scanned = len(l.buf)
		// One byte over the limit may be the carriage return of the line's end.
		if l.scanned > limit+1 {
			return nil, false, errTooLong
		}
		return nil, false, nil
	}
	i += l.scanned
	end := i
	if end > 0 && l.buf[end-1] == '\r' {
		end--
	}
	if end > limit {
		return nil, false, errTooLong
	}
	line := l.buf[:end:end]
	l.buf, l.scanned = l.buf[i+1:], 0
	return line, true, nil
}

// rest is how many bytes of an unfinished line are there.
func (l *lines) rest() int { return len(l.buf) }

// appendReply appends a reply and its line end to out. A reply is one line
// whatever the handler made of it: a line end at its end is dropped, and lines
// within are joined by spaces, which it reports.
func appendReply(out, reply []byte) (_ []byte, joined bool) {
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
