// A connection on which messages flow, and reading from it.

package zmtp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// ErrInterrupted is what Fill returns after Interrupt.
var ErrInterrupted = errors.New("interrupted")

// Conn is a connection to a peer. One goroutine at a time reads, with Next and
// Fill; all other methods may be called from any.
type Conn struct {
	nc      net.Conn
	options Options
	minor   byte // the peer speaks ZMTP 3.minor
	peer    properties
	cipher  *cipher // nil: frames are not encrypted

	// Of the reading goroutine.
	in       input
	from     source
	frames   [][]byte      // of the message that is being read
	size     int           // of these together
	complete bool          // the last of them is there
	ttl      time.Duration // how long the peer wants to be waited for; 0: no such wish
	waiting  bool          // a time to wait for it is set

	interrupted atomic.Bool
	out         output
}

func newConn(nc net.Conn, o Options) *Conn {
	c := &Conn{nc: nc, options: o}
	c.from.init(nc)
	c.out.init(nc, c.from.raw, o)
	return c
}

// Peer returns the socket type of the peer, and how it wants to be called by a
// ROUTER; empty if it does not say.
func (c *Conn) Peer() (socketType, identity string) { return c.peer.socketType, c.peer.identity }

// RemoteAddr is where the peer is.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Next returns the frames of the next message. It does not wait, and reports
// false when not all of a message has been read, see Fill. The slice is good
// until the next call, the frames for ever; each ends where its capacity does.
//
// After an error, an ErrProtocol, ErrAuthentication or ErrTooLarge, the
// connection is of no more use.
func (c *Conn) Next() (frames [][]byte, ok bool, err error) {
	for {
		if c.complete {
			clear(c.frames)
			c.frames, c.size, c.complete = c.frames[:0], 0, false
		}
		flags, body, ok, err := c.frame()
		if !ok || err != nil {
			return nil, false, err
		}
		if flags&flagCommand != 0 {
			if err := c.command(body); err != nil {
				return nil, false, err
			}
			continue
		}
		c.frames = append(c.frames, body)
		c.size += len(body)
		c.complete = flags&flagMore == 0
		if c.complete && !c.isSubscription() {
			return c.frames, true, nil
		}
	}
}

// frame takes the next frame, if all of it has been read. The limits are looked
// at as soon as its header is there.
func (c *Conn) frame() (flags byte, body []byte, ok bool, err error) {
	h, ok, err := parseHeader(c.in.buf)
	if !ok || err != nil {
		return 0, nil, false, err
	}
	switch room := c.options.MaxMessage - c.size; {
	case c.cipher != nil: // what it is, only the box tells
		if h.size > uint64(max(room, maxCommand)+boxOverhead) {
			return 0, nil, false, c.tooLong()
		}
	case h.flags&flagCommand != 0:
		if h.size > maxCommand {
			return 0, nil, false, fmt.Errorf("%w: a command of %d bytes", ErrProtocol, h.size)
		}
	case h.size > uint64(room):
		return 0, nil, false, c.tooLong()
	case len(c.frames) == c.options.MaxFrames:
		return 0, nil, false, c.tooMany()
	}
	end := h.len + int(h.size)
	if len(c.in.buf) < end {
		c.in.want = end
		return 0, nil, false, nil
	}
	body = c.in.cut(end)[h.len:]
	if c.cipher == nil {
		return h.flags, body, true, nil
	}
	flags, body, err = c.cipher.open(body)
	switch {
	case err != nil:
		return 0, nil, false, err
	case flags&flagCommand != 0:
	case len(body) > c.options.MaxMessage-c.size:
		return 0, nil, false, c.tooLong()
	case len(c.frames) == c.options.MaxFrames:
		return 0, nil, false, c.tooMany()
	}
	return flags, body, true, nil
}

func (c *Conn) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.options.MaxMessage)
}

func (c *Conn) tooMany() error {
	return fmt.Errorf("%w: more than %d frames", ErrTooLarge, c.options.MaxFrames)
}

// command does what a peer asks for. What is not known is ignored.
func (c *Conn) command(b []byte) error {
	name, body, err := parseCommand(b)
	if err != nil {
		return err
	}
	switch name {
	case "PING":
		return c.answerPing(body)
	case "ERROR":
		return peerError(body)
	case "SUBSCRIBE", "CANCEL":
		if c.options.OnSubscription != nil {
			c.options.OnSubscription(body, name == "SUBSCRIBE")
		}
	}
	return nil
}

// isSubscription takes the message that was read as what a peer of ZMTP 3.0
// sends instead of the commands SUBSCRIBE and CANCEL, if it is.
func (c *Conn) isSubscription() bool {
	if c.options.OnSubscription == nil || len(c.frames) != 1 || len(c.frames[0]) == 0 || c.frames[0][0] > 1 {
		return false
	}
	c.options.OnSubscription(c.frames[0][1:], c.frames[0][0] == 1)
	return true
}

// Fill reads what the peer has sent, and waits for it to send something. While
// it waits it sees to the heartbeats; the time for them begins anew with each
// call, so a caller that has better to do than to read may take its time. It
// returns ErrInterrupted, ErrSilent, ErrNotReading, or an error of the network;
// io.EOF when the peer has closed its side.
func (c *Conn) Fill() error {
	err := c.fill()
	if errors.Is(err, net.ErrClosed) {
		return cmp.Or(c.out.lost(), err)
	}
	return err
}

func (c *Conn) fill() error {
	space := c.in.space()
	w := wait{Conn: c, began: time.Now()}
	if err := w.begin(); err != nil {
		return err
	}
	for {
		if c.interrupted.Load() {
			return ErrInterrupted
		}
		n, err := c.from.read(space)
		if n > 0 {
			c.in.read(n)
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = w.over()
		}
		if err != nil {
			return err
		}
	}
}

// FillMore reads what has come since the last read, if there seems to be more. It
// does not wait, and reports whether there was something.
func (c *Conn) FillMore() bool {
	if !c.in.filled || c.interrupted.Load() {
		return false
	}
	n := c.from.look(c.in.space())
	c.in.read(n)
	return n > 0
}

// Buffered is how many bytes have been read of a message that is not complete.
func (c *Conn) Buffered() int { return c.size + len(c.in.buf) }

// Interrupt makes Fill return, now and whenever it is called.
func (c *Conn) Interrupt() {
	c.interrupted.Store(true)
	_ = c.nc.SetReadDeadline(time.Now())
}

// Close ends the connection at once. It may be called twice.
func (c *Conn) Close() error {
	err := c.nc.Close()
	c.out.fail()
	return err
}
