// The handshake: greetings, and then the commands of a mechanism.

package zmtp

import (
	"fmt"
	"net"
	"slices"
	"time"
)

// Mechanism is how the peers make sure of each other: Null, PlainServer,
// PlainClient, CurveServer or CurveClient. The two sides of PLAIN and of CURVE
// need not be those that listen and dial.
type Mechanism interface {
	// name is how a greeting calls it, and asServer which of the sides this is.
	name() string
	asServer() bool

	// handshake exchanges commands until messages can flow. It returns the
	// properties of the peer, as they came.
	handshake(h *handshake) ([]byte, error)
}

// A handshake is a connection on which no messages flow yet.
type handshake struct {
	*Conn
	properties []byte // of this side
}

// Handshake makes a Conn of a connection. Whatever the error, nc is left open for
// the caller to close; without one the Conn owns it.
func Handshake(nc net.Conn, o Options) (*Conn, error) {
	c := newConn(nc, o)
	if err := nc.SetDeadline(time.Now().Add(o.HandshakeTimeout)); err != nil {
		return nil, err
	}
	if err := c.greet(); err != nil {
		return nil, err
	}
	h := &handshake{c, properties{o.SocketType, o.Identity}.bytes()}
	text, err := o.Mechanism.handshake(h)
	if err != nil {
		return nil, err
	}
	peer, err := parseProperties(text)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(partners[o.SocketType], peer.socketType) {
		return nil, fmt.Errorf("%w: the peer is a %.20q, which does not speak to a %s", ErrProtocol, peer.socketType, o.SocketType)
	}
	c.peer = peer
	return c, nc.SetDeadline(time.Time{})
}

// greet exchanges greetings. What can't be that of ZMTP 3 is refused at its first
// bytes: a peer that speaks something else may send no more, and wait.
func (c *Conn) greet() error {
	m := c.options.Mechanism
	if _, err := c.nc.Write(greeting{minor: 1, mechanism: m.name(), asServer: m.asServer()}.bytes()); err != nil {
		return err
	}
	for n := 1; n < greetingSize; n = len(c.in.buf) + 1 {
		if err := c.need(n); err != nil {
			return err
		}
		if err := checkSignature(c.in.buf[:min(len(c.in.buf), greetingSize)]); err != nil {
			return err
		}
	}
	if err := c.need(greetingSize); err != nil {
		return err
	}
	g, err := parseGreeting(c.in.cut(greetingSize))
	switch {
	case err != nil:
		return err
	case g.mechanism != m.name():
		return fmt.Errorf("%w: the peer wants the mechanism %.20q, here it is %s", ErrAuthentication, g.mechanism, m.name())
	case g.asServer && m.asServer(): // libzmq does not say so, whichever it is
		return fmt.Errorf("%w: both sides are the server of %s", ErrAuthentication, m.name())
	}
	c.minor = g.minor
	return nil
}

// need reads until n bytes are there.
func (c *Conn) need(n int) error {
	c.in.want = n
	for len(c.in.buf) < n {
		read, err := c.nc.Read(c.in.space())
		c.in.read(read)
		if err != nil && len(c.in.buf) < n {
			return err
		}
	}
	return nil
}

// send sends a command.
func (h *handshake) send(name string, body ...[]byte) error {
	_, err := h.nc.Write(appendFrame(nil, flagCommand, command(name, body...)))
	return err
}

// refuse sends an ERROR, whose reason is one of the status codes of ZAP
// (https://rfc.zeromq.org/spec/27/), as libzmq expects, and returns why. Whether
// the peer takes it makes no difference.
func (h *handshake) refuse(why string) error {
	const denied = "400"
	_ = h.send("ERROR", []byte{byte(len(denied))}, []byte(denied))
	return fmt.Errorf("%w: %s", ErrAuthentication, why)
}

// expect takes a command of that name and returns its body.
func (h *handshake) expect(name string) (body []byte, err error) {
	var head header
	for ok := false; !ok; {
		if head, ok, err = parseHeader(h.in.buf); err != nil {
			return nil, err
		}
		if !ok {
			if err := h.need(len(h.in.buf) + 1); err != nil {
				return nil, err
			}
		}
	}
	if head.flags&flagCommand == 0 {
		return nil, fmt.Errorf("%w: a message before %s", ErrProtocol, name)
	}
	if head.size > maxHandshakeCommand {
		return nil, fmt.Errorf("%w: a command of %d bytes for %s", ErrProtocol, head.size, name)
	}
	size := head.len + int(head.size)
	if err := h.need(size); err != nil {
		return nil, err
	}
	got, body, err := parseCommand(h.in.cut(size)[head.len:])
	switch {
	case err != nil:
		return nil, err
	case got == name:
		return body, nil
	case got == "ERROR":
		return nil, peerError(body)
	}
	return nil, fmt.Errorf("%w: the command %.20q instead of %s", ErrProtocol, got, name)
}
