// Peers for the tests, which speak ZMTP by the same package as the transport.
// Those of libzmq are in libzmq_test.go.

package zeromq

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"example.com/fee/internal/transport/transporttest"
	"example.com/fee/internal/transport/zeromq/zmtp"
)

// peerOptions are those of a peer of this type.
func peerOptions(socketType string) zmtp.Options {
	return zmtp.Options{
		SocketType:       socketType,
		Mechanism:        zmtp.Null{},
		MaxMessage:       64 << 20,
		MaxFrames:        64,
		HandshakeTimeout: transporttest.Patience,
		WriteTimeout:     transporttest.Patience,
	}
}

// peer is a socket of ZeroMQ with one connection. It implements
// transporttest.Peer, as a DEALER that sends requests as a REQ does. Its handshake
// comes with the first message, since a connection may have to wait to be
// accepted.
type peer struct {
	nc      net.Conn
	options zmtp.Options

	once sync.Once
	zmtp *zmtp.Conn
	err  error
	sent chan struct{} // a message is with the kernel, or lost
}

func (p *peer) shake() error {
	p.once.Do(func() { p.zmtp, p.err = zmtp.Handshake(p.nc, p.options) })
	return p.err
}

// sendFrames sends a message, and waits until the transport has read as much as
// it takes for that. One goroutine at a time may send.
func (p *peer) sendFrames(frames ...[]byte) error {
	if err := p.shake(); err != nil {
		return err
	}
	p.zmtp.Send(nil, frames...)
	<-p.sent
	return nil
}

// receiveFrames returns the next message.
func (p *peer) receiveFrames() ([][]byte, error) {
	if err := p.shake(); err != nil {
		return nil, err
	}
	// The time is set anew by the conn only if there are heartbeats, and there are
	// none.
	if err := p.nc.SetReadDeadline(time.Now().Add(transporttest.Patience)); err != nil {
		return nil, err
	}
	for {
		frames, ok, err := p.zmtp.Next()
		if ok || err != nil {
			return frames, err
		}
		if err := p.zmtp.Fill(); err != nil {
			return nil, err
		}
	}
}

func (p *peer) Send(bodies ...[]byte) error {
	for _, body := range bodies {
		if err := p.sendFrames(nil, body); err != nil {
			return err
		}
	}
	return nil
}

func (p *peer) Receive() ([]byte, error) {
	frames, err := p.receiveFrames()
	switch {
	case err != nil:
		return nil, err
	case len(frames) != 2 || len(frames[0]) != 0:
		return nil, errors.New("no reply as a REQ wants it")
	}
	return frames[1], nil
}

// Write writes bytes that are no frames.
func (p *peer) Write(b []byte) (int, error) {
	if err := p.shake(); err != nil {
		return 0, err
	}
	return p.nc.Write(b)
}

func (p *peer) Close() error {
	err := p.nc.Close()
	p.once.Do(func() { p.err = net.ErrClosed })
	if p.zmtp != nil {
		_ = p.zmtp.Close() // ends what is being sent
	}
	return err
}

// connect makes a peer of what listens at the address, which need not accept it
// before it sends something.
func connect(a address, o zmtp.Options) (*peer, error) {
	nc, err := net.DialTimeout(a.network, a.address, transporttest.Patience)
	if err != nil {
		return nil, err
	}
	p := &peer{nc: nc, options: o, sent: make(chan struct{}, 1)}
	p.options.OnSent = func(n int) {
		if n > 0 {
			p.sent <- struct{}{}
		}
	}
	return p, nil
}

// dial makes a peer of the transport, for as long as the test takes.
func (s *server) dial(o zmtp.Options) *peer {
	s.t.Helper()
	a := s.Addr()
	p, err := connect(address{a.Network(), a.String()}, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = p.Close() })
	return p
}

// ask sends a request and waits for its reply.
func (p *peer) ask(t *testing.T, body string) string {
	t.Helper()
	if err := p.Send([]byte(body)); err != nil {
		t.Fatal(err)
	}
	reply, err := p.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

// ends waits for the end of the connection, before which nothing may come.
func (p *peer) ends(t *testing.T) {
	t.Helper()
	frames, err := p.receiveFrames()
	if err == nil {
		t.Errorf("received %q instead of the end", frames)
	}
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		t.Error("the connection has not ended")
	}
}

// drained reads what comes until the end of the connection.
func drained(nc net.Conn) ([]byte, error) {
	if err := nc.SetReadDeadline(time.Now().Add(transporttest.Patience)); err != nil {
		return nil, err
	}
	return io.ReadAll(nc)
}
