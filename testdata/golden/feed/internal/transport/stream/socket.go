// Reading and writing without holding memory, or a goroutine, while a peer makes
// the service wait.

package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"example.com/feed/internal/transport/nonblock"
)

// socket is a connection. One goroutine may read while another writes.
type socket struct {
	net.Conn

	// raw is the descriptor of the connection; nil for one that has none, or does
	// more with the bytes than to send them. What it calls is made once, because a
	// function with variables of its own is an allocation.
	raw      syscall.RawConn
	readable func(fd uintptr) bool
	writable func(fd uintptr) bool

	into    *input // what receive reads to
	readErr error

	out      []byte // what send writes
	sent     int
	writeErr error
}

func (s *socket) init(nc net.Conn) {
	s.Conn, s.raw = nc, nil
	source, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return
	}
	s.raw, s.readable, s.writable = raw, s.tryRead, s.tryWrite
}

// receive waits until there is something to read, and adds it to in. While it
// waits on a plain socket it holds no buffer, and on another one a small one: such
// a connection has its own.
func (s *socket) receive(in *input) error {
	if s.raw == nil {
		scratch := smallScratches.Get().(*[1 << 10]byte)
		defer smallScratches.Put(scratch)
		n, err := s.Read(scratch[:])
		if n > 0 {
			in.add(scratch[:n])
			return nil
		}
		return err
	}
	s.into = in
	if err := s.raw.Read(s.readable); err != nil {
		return err
	}
	return s.readErr
}

// tryRead reads what is there. It reports false if that is nothing yet.
func (s *socket) tryRead(fd uintptr) bool {
	scratch := scratches.Get().(*[16 << 10]byte)
	defer scratches.Put(scratch)
	n, err := nonblock.Read(fd, scratch[:])
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err != nil:
		s.readErr = os.NewSyscallError("read", err)
	case n == 0:
		s.readErr = io.EOF
	default:
		s.into.add(scratch[:n])
		s.readErr = nil
	}
	return true
}

// send writes what the system takes of out without waiting, and returns how many
// bytes that are: none where only waiting would tell.
func (s *socket) send(out []byte) (int, error) {
	if s.raw == nil || len(out) == 0 {
		return 0, nil
	}
	s.out, s.sent, s.writeErr = out, 0, nil
	err := s.raw.Write(s.writable)
	s.out = nil
	if err == nil {
		err = s.writeErr
	}
	return s.sent, err
}

// tryWrite reports true: what is not written now is not waited for.
func (s *socket) tryWrite(fd uintptr) bool {
	n, err := nonblock.Write(fd, s.out)
	switch {
	case err == nil:
		s.sent = n
	case !errors.Is(err, syscall.EAGAIN):
		s.writeErr = os.NewSyscallError("write", err)
	}
	return true
}
