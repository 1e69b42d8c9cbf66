// Peers for the transports whose messages are on a stream of bytes.

package transporttest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// Lines makes a Peer of a connection on which each message and each reply is a
// line. It can write without framing and, if the connection can, half-close.
func Lines(nc net.Conn) Peer {
	return newStreamPeer(nc, framing{
		add: func(out, body []byte) []byte { return append(append(out, body...), '\n') },
		read: func(in *bufio.Reader) ([]byte, error) {
			line, err := in.ReadBytes('\n')
			if err == io.EOF && len(line) > 0 {
				return nil, io.ErrUnexpectedEOF
			}
			return bytes.TrimSuffix(line, []byte("\n")), err
		},
		unfinished: []byte("x"),
	})
}

// Lengths makes a Peer of a connection on which four bytes before each message
// and each reply are its length, the most significant first. It can do what the
// Peer of Lines can.
func Lengths(nc net.Conn) Peer {
	return newStreamPeer(nc, framing{
		add: func(out, body []byte) []byte {
			return append(binary.BigEndian.AppendUint32(out, uint32(len(body))), body...)
		},
		read: func(in *bufio.Reader) ([]byte, error) {
			var length [4]byte
			if _, err := io.ReadFull(in, length[:]); err != nil {
				return nil, err
			}
			body := make([]byte, binary.BigEndian.Uint32(length[:]))
			if _, err := io.ReadFull(in, body); err != nil {
				return nil, io.ErrUnexpectedEOF
			}
			return body, nil
		},
		unfinished: []byte{0, 0, 1},
	})
}

// framing is how messages are on a stream.
type framing struct {
	add        func(out, body []byte) []byte
	read       func(in *bufio.Reader) ([]byte, error)
	unfinished []byte
}

func newStreamPeer(nc net.Conn, f framing) Peer {
	p := &streamPeer{nc, f, bufio.NewReader(nc)}
	if half, ok := nc.(halfCloser); ok {
		return struct {
			*streamPeer
			halfCloser
		}{p, half}
	}
	return p
}

type streamPeer struct {
	net.Conn
	framing framing
	in      *bufio.Reader
}

func (p *streamPeer) Send(bodies ...[]byte) error {
	var out []byte
	for _, body := range bodies {
		out = p.framing.add(out, body)
	}
	_, err := p.Write(out)
	return err
}

func (p *streamPeer) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *streamPeer) Receive() ([]byte, error) {
	if err := p.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	return p.framing.read(p.in)
}

func (p *streamPeer) Unfinished() []byte { return p.framing.unfinished }
