package zmtp

import (
	"io"
	"net"
	"time"
)

// script is a connection to a peer that sends what is written here, and is not
// interested in what it gets.
type script struct {
	input []byte
	piece int // how much can be read at a time
	sent  []byte
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.input) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.input[:min(s.piece, len(s.input))])
	s.input = s.input[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) {
	s.sent = append(s.sent, b...)
	return len(b), nil
}

func (*script) Close() error                     { return nil }
func (*script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }
