// The replies of a connection: settling its messages from any goroutine, and
// sending what is settled in the order of the messages.

package stream

import (
	"errors"
	"os"
	"sync"
	"time"

	"example.com/feed/internal/transport"
)

const (
	// gather is how much of the replies that are ready goes into one write. A
	// longer reply goes alone.
	gather = 32 << 10

	// record is how much one record of TLS takes (RFC 8446, 5.1).
	record = 16 << 10

	// holdBack is how long a reply may wait for others to go with it: for those to
	// messages that are being handed over together with its own.
	holdBack = time.Millisecond
)

// buffers are for gathering replies.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// message is a message on its way. It implements transport.Keyed.
type message struct {
	conn *conn
	text []byte // the body; once settled, the reply

	// Guarded by conn.mu.
	next    *message
	settled bool
	undone  bool // settled with transport.ErrStopped
}

// Body implements transport.Message.
func (m *message) Body() []byte { return m.text }

// Key implements transport.Keyed.
func (m *message) Key(of string) (string, bool) { return m.conn.key, of == byConnection }

// Settle implements transport.Message. The last message under way has nothing to
// wait for: its reply is sent on the spot, with all that waited for it, as far as
// the system takes it at once. Else a goroutine sends the reply, with all others
// that are ready by then; there is none while nothing is ready.
func (m *message) Settle(reply []byte, err error) {
	c := m.conn
	c.mu.Lock()
	m.text, m.settled, m.undone = reply, true, errors.Is(err, transport.ErrStopped)
	if c.unsettled--; c.unsettled == 0 {
		c.changed.Signal()
	}
	switch {
	case !c.isReady():
	case c.unsettled == 0 && c.socket.raw != nil:
		c.reply()
		return
	case c.submitting:
		c.sendSoon()
	default:
		c.writing = true
		go c.write(nil, nil)
	}
	c.mu.Unlock()
}

// isReady reports whether there is a reply to send, and nobody who does. The
// caller holds c.mu.
func (c *conn) isReady() bool { return !c.writing && c.first != nil && c.first.settled }

// sendSoon has what is ready sent later, if nobody has done it by then. The caller
// holds c.mu.
func (c *conn) sendSoon() {
	switch {
	case c.soon:
	case c.overdue == nil:
		c.overdue = time.AfterFunc(holdBack, c.send)
	default:
		c.overdue.Reset(holdBack)
	}
	c.soon = true
}

// send sends what is ready, if nobody does.
func (c *conn) send() {
	c.mu.Lock()
	c.soon = false
	if !c.isReady() {
		c.mu.Unlock()
		return
	}
	if c.socket.raw != nil {
		c.reply()
		return
	}
	c.writing = true
	c.mu.Unlock()
	c.write(nil, nil)
}

// submitted ends the time in which replies wait for others.
func (c *conn) submitted() {
	c.mu.Lock()
	c.submitting, c.soon = false, false
	switch {
	case !c.isReady():
	case c.socket.raw != nil:
		c.reply()
		return
	default:
		c.writing = true
		go c.write(nil, nil)
	}
	c.mu.Unlock()
}

// reply sends what is ready without waiting, and leaves it to a goroutine if more
// than that is to be done. The caller holds c.mu, which reply unlocks.
func (c *conn) reply() {
	c.writing = true
	buffer := buffers.Get().(*[]byte)
	out, changed := c.collect((*buffer)[:0])
	c.mu.Unlock()
	c.notice(changed)
	n, err := c.socket.send(out)
	switch {
	case err != nil:
		c.lose(err)
	case n < len(out):
		go c.write(buffer, out[n:])
		return
	}
	keep(buffer, out)
	c.mu.Lock()
	if c.first != nil && c.first.settled {
		c.mu.Unlock()
		go c.write(buffer, nil)
		return
	}
	c.rest()
	c.mu.Unlock()
	buffers.Put(buffer)
}

// write sends left, and then the replies that are ready until none is. The buffer
// may be nil. Its caller has set c.writing.
func (c *conn) write(buffer *[]byte, left []byte) {
	if buffer == nil {
		buffer = buffers.Get().(*[]byte)
	}
	for out := left; ; {
		if err := c.wait(out); err != nil {
			c.lose(err)
		}
		keep(buffer, out)
		var changed bool
		c.mu.Lock()
		if out, changed = c.collect((*buffer)[:0]); len(out) == 0 {
			c.rest()
			c.mu.Unlock()
			break
		}
		c.mu.Unlock()
		c.notice(changed)
	}
	buffers.Put(buffer)
}

// keep leaves out, which may have outgrown its buffer, in it for the next.
func keep(buffer *[]byte, out []byte) {
	if cap(out) > cap(*buffer) && cap(out) <= 2*gather {
		*buffer = out
	}
}

// collect appends to out the replies that are next in order, and makes room for
// as many messages. It reports whether the framing has changed one of them. The
// caller holds c.mu.
func (c *conn) collect(out []byte) (_ []byte, changed bool) {
	for m := c.first; m != nil && m.settled && len(out) < gather; m = c.first {
		if m.undone {
			c.drop()
			break
		}
		var other bool
		out, other = c.framing.appendReply(out, m.text)
		changed = changed || other
		c.first, m.next, m.text = m.next, nil, nil
		c.underWay--
	}
	c.changed.Signal()
	return out, changed
}

// rest ends the sending: nothing is ready. The caller holds c.mu.
func (c *conn) rest() {
	c.writing = false
	c.replied = time.Now()
	c.changed.Signal()
}

// notice logs that a reply did not go as it was.
func (c *conn) notice(changed bool) {
	if changed && c.t.joined.Due() {
		c.log().Warn("line ends within a reply became spaces")
	}
}

// wait writes out to the peer, which has to take some of it within the write
// timeout each time. The time is set only where the peer has to be waited for: it
// costs as much as a small message. With TLS a write that took too long can't be
// taken up again, so there each has a part that is short enough to show by itself
// whether the peer takes anything.
func (c *conn) wait(out []byte) error {
	n, err := c.socket.send(out)
	if err != nil || n == len(out) {
		return err
	}
	for out = out[n:]; len(out) > 0; out = out[n:] {
		timeout := time.Duration(c.settings().WriteTimeout)
		if err := c.socket.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		part := out
		if c.socket.raw == nil {
			part = out[:min(len(out), record)]
		}
		n, err = c.socket.Write(part)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return c.socket.SetWriteDeadline(time.Time{}) // writing without waiting has none
}

// lose ends a connection whose peer can't be reached, or takes nothing.
func (c *conn) lose(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.log().Warn("connection closed, peer took no reply for write_timeout")
	} else {
		c.log().Debug("connection lost", "error", err)
	}
	c.mu.Lock()
	c.drop()
	c.mu.Unlock()
	c.disconnect()
}
