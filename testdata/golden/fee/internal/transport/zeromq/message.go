// Messages, from the frames that come to the replies that go.

package zeromq

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"example.com/fee/internal/transport"
)

// message is a message on its way. It implements transport.Keyed.
type message struct {
	conn     *conn
	body     []byte
	envelope [][]byte // the frames that a reply begins with
}

// delimiter is the empty frame between the envelope of a request and its body; a
// REQ sends nothing else before the body.
var delimiter = [][]byte{{}}

// message makes a message of frames, which last until the next are read, while
// each of them lasts for ever. It returns nil for what is none, and an error if
// the connection has to end because of it.
func (c *conn) message(settings *Config, frames [][]byte) (*message, error) {
	var envelope [][]byte
	if c.replies {
		n := slices.IndexFunc(frames, func(frame []byte) bool { return len(frame) == 0 }) + 1
		if n == 0 || n == len(frames) {
			c.drop("message dropped, it is no request: an empty frame and a body are missing")
			return nil, nil
		}
		if envelope = delimiter; n > 1 {
			envelope = slices.Clone(frames[:n])
		}
		frames = frames[n:]
	}
	body, ok := bodyOf(settings, frames)
	switch {
	case !ok && c.replies:
		c.t.malformed.Add(1)
		return nil, errParts // who waits for the answer is told
	case !ok:
		c.drop(`message dropped, its body has several frames: see multipart`)
		return nil, nil
	}
	if len(c.slab) == 0 {
		c.slab = make([]message, 16)
	}
	m := &c.slab[0]
	c.slab = c.slab[1:]
	m.conn, m.body, m.envelope = c, body, envelope
	return m, nil
}

// drop counts a message that is none, and logs that now and then.
func (c *conn) drop(why string) {
	n := c.t.malformed.Add(1)
	if c.t.badMessage.Due() {
		c.log().Warn(why, "malformed", n)
	}
}

// bodyOf returns the body of a message, if it is one.
func bodyOf(settings *Config, frames [][]byte) (body []byte, ok bool) {
	switch {
	case len(frames) == 1 || settings.Multipart == last:
		return frames[len(frames)-1], true
	case settings.Multipart == join:
		return bytes.Join(frames, []byte(settings.Separator)), true
	}
	return nil, false
}

// Body implements transport.Message.
func (m *message) Body() []byte { return m.body }

// Key implements transport.Keyed.
func (m *message) Key(of string) (string, bool) { return m.conn.key, of == byConnection }

// Settle implements transport.Message. A reply is on its way, or in the hands of a
// goroutine of the connection, when it returns.
func (m *message) Settle(reply []byte, err error) {
	c := m.conn
	stopped := errors.Is(err, transport.ErrStopped)
	answered := c.replies && !stopped
	switch {
	case answered:
		c.peer.Send(m.envelope, reply)
	case stopped && !c.replies:
		c.t.undone.Add(1)
	}
	c.mu.Lock()
	if c.unsettled--; !answered {
		c.underWay--
	}
	if c.replies && stopped && !c.ending {
		c.end() // so its peer comes to know
	}
	c.changed.Signal()
	c.mu.Unlock()
}

// sent is called when so many replies are sent, or lost with the connection.
func (c *conn) sent(replies int) {
	if replies == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay -= replies
	c.replied = time.Now()
	c.changed.Signal()
}

// without returns those of a that are not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
