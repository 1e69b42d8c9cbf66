// Reading.

package zmtp

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport/nonblock"
)

// A chunk is what frames are read into and cut from. A small one costs a silent
// connection little, a large one saves a busy connection calls to the kernel; one
// that is left with less than minRead is replaced.
const (
	minRead  = 512
	minChunk = 2 << 10
	maxChunk = 16 << 10
)

// input holds what was read from a connection. What was cut off it is never
// written to again: what is left of a full chunk moves to a fresh one, and the
// old one is collected with the last frame that was cut from it.
type input struct {
	buf    []byte // read but not cut off; its capacity is the rest of the chunk
	want   int    // how long buf has to be for the next frame, as far as is known
	chunk  int    // size of the newest chunk
	filled bool   // the last read filled the chunk: more was waiting
}

// space returns where the next bytes are to be read to, at least one byte.
func (in *input) space() []byte {
	fits := len(in.buf) < in.want && in.want <= cap(in.buf)
	if cap(in.buf)-len(in.buf) < minRead && !fits {
		in.renew()
	}
	return in.buf[len(in.buf):cap(in.buf)]
}

// renew moves what is not cut off to a fresh chunk. The chunks of a connection
// grow while its reads fill them and shrink when they don't. For a large frame
// they double with what has arrived of it, whatever it has announced.
func (in *input) renew() {
	if in.filled {
		in.chunk = min(2*in.chunk, maxChunk)
	} else {
		in.chunk /= 2
	}
	in.chunk = max(in.chunk, minChunk)
	held := len(in.buf)
	size := max(in.chunk, held+minRead, min(2*held, in.want))
	in.buf = append(make([]byte, 0, size), in.buf...)
}

// read takes note that n bytes were read to the front of space.
func (in *input) read(n int) {
	in.buf = in.buf[:len(in.buf)+n]
	in.filled = len(in.buf) == cap(in.buf)
}

// cut cuts off the first n bytes, which are there.
func (in *input) cut(n int) []byte {
	b := in.buf[:n:n]
	in.buf, in.want = in.buf[n:], 0
	return b
}

// source is where a connection is read. One goroutine at a time reads.
type source struct {
	nc  net.Conn
	raw syscall.RawConn // its descriptor; nil: it has none

	// What raw calls is made once, because a function with variables of its own is
	// an allocation.
	try   func(fd uintptr) bool
	space []byte // where to
	waits bool   // until something is there
	n     int
	err   error
}

func (s *source) init(nc net.Conn) {
	s.nc = nc
	if c, ok := nc.(syscall.Conn); ok {
		s.raw, _ = c.SyscallConn()
	}
	s.try = func(fd uintptr) bool {
		s.n, s.err = nonblock.Read(fd, s.space)
		return !s.waits || !errors.Is(s.err, syscall.EAGAIN)
	}
}

// read waits until there is something to read, or the read deadline has come.
func (s *source) read(space []byte) (int, error) {
	if s.raw == nil {
		return s.nc.Read(space)
	}
	err := s.attempt(space, true)
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, os.NewSyscallError("read", s.err)
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// look reads what is there, without waiting; no bytes if there is nothing, or an
// error, which read will return.
func (s *source) look(space []byte) int {
	if s.raw == nil || s.attempt(space, false) != nil {
		return 0
	}
	return s.n
}

// attempt leaves in n and err what became of it.
func (s *source) attempt(space []byte, waits bool) error {
	s.space, s.waits = space, waits
	err := s.raw.Read(s.try)
	s.space = nil
	return err
}
