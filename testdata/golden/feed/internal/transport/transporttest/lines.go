// A peer for the transports on which a message is a line.

package transporttest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"time"
)

// Lines makes a Peer of a connection on which each message and each reply is a
// line. It can write without framing and, if the connection can, half-close.
func Lines(nc net.Conn) Peer {
	p := &linePeer{Conn: nc, in: bufio.NewReader(nc)}
	if half, ok := nc.(halfCloser); ok {
		return struct {
			*linePeer
			halfCloser
		}{p, half}
	}
	return p
}

type linePeer struct {
	net.Conn
	in *bufio.Reader
}

func (p *linePeer) Send(bodies ...[]byte) error {
	var out []byte
	for _, body := range bodies {
		out = append(append(out, body...), '\n')
	}
	_, err := p.Write(out)
	return err
}

func (p *linePeer) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

func (p *linePeer) Receive() ([]byte, error) {
	if err := p.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	line, err := p.in.ReadBytes('\n')
	if err == io.EOF && len(line) > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}
