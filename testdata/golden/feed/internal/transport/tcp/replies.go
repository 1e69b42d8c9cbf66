// The replies of a connection: settling its messages from any goroutine, and
// sending what is settled in the order of the messages.

package tcp

import (
	"errors"
	"os"
	"sync"
	"time"

	"example.com/feed/internal/transport"
)

// gather is how much of the replies that are ready goes into one write. A
// longer reply goes alone.
const gather = 32 << 10

// buffers are for gathering replies.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// message is a line on its way. It implements transport.Message.
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

// Settle implements transport.Message. A goroutine sends the reply, with all
// others that are ready by then; there is none while nothing is ready.
func (m *message) Settle(reply []byte, err error) {
	c := m.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	m.text, m.settled, m.undone = reply, true, errors.Is(err, transport.ErrStopped)
	if c.unsettled--; c.unsettled == 0 {
		c.changed.Signal()
	}
	if c.first == m && !c.writing {
		c.writing = true
		go c.write()
	}
}

// write sends the replies that are ready until none is.
func (c *conn) write() {
	buffer := buffers.Get().(*[]byte)
	for {
		out, joined := c.ready((*buffer)[:0])
		if len(out) == 0 {
			break
		}
		if joined && c.t.joined.due() {
			c.log().Warn("line ends within a reply became spaces")
		}
		if cap(out) <= 2*gather {
			*buffer = out
		}
		if err := c.send(out); err != nil {
			c.lose(err)
		}
	}
	buffers.Put(buffer)
}

// ready appends to out the replies that are next in order, and makes room for
// as many messages. If none is ready it ends the writing. It reports whether a
// reply of several lines was among them.
func (c *conn) ready(out []byte) (_ []byte, joined bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := c.first; m != nil && m.settled && len(out) < gather; m = c.first {
		if m.undone {
			c.drop()
			break
		}
		var lines bool
		out, lines = appendReply(out, m.text)
		joined = joined || lines
		c.first, m.next, m.text = m.next, nil, nil
		c.underWay--
	}
	if len(out) == 0 {
		c.writing = false
		c.replied = time.Now()
	}
	c.changed.Signal()
	return out, joined
}

// send writes out to the peer, which has to take some of it within the write
// timeout each time.
func (c *conn) send(out []byte) error {
	for {
		timeout := time.Duration(c.t.settings.Load().WriteTimeout)
		if err := c.nc.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		n, err := c.nc.Write(out)
		if err == nil || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		out = out[n:]
	}
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
	_ = c.nc.Close()
}
