// One connection, and reading its messages. A goroutine of its own does that
// from the first byte to the end; replies.go has the other direction.

package tcp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"example.com/feed/internal/transport"
)

// To close a connection on which input is unread, or still to come, makes the
// kernel reset it, and replies that are on their way are lost. So a connection
// whose last reply is younger than linger is closed only when its peer has
// closed it, or has sent nothing for the time quiet, or after linger.
const (
	linger = 500 * time.Millisecond
	quiet  = 50 * time.Millisecond
)

// Why the reading of a connection ends, apart from the errors of the network.
var (
	errEnding = errors.New("the connection is ending")
	errIdle   = errors.New("idle")
)

// conn is a connection with the messages under way on it, from the line that
// was read to the reply that is sent.
type conn struct {
	t        *Transport
	nc       net.Conn
	accepted time.Time

	// Of the reading goroutine alone.
	input lines
	slab  []message
	batch []transport.Message

	mu      sync.Mutex
	changed sync.Cond // tells the reading goroutine of any change below

	first, last *message  // under way, in the order of arrival
	underWay    int       // how many
	unsettled   int       // how many messages the queue has
	writing     bool      // a goroutine sends replies
	replied     time.Time // when it last had sent them all

	ending    bool // read no more
	abandoned bool // wait for nothing
}

func newConn(t *Transport, nc net.Conn) *conn {
	c := &conn{t: t, nc: nc, accepted: time.Now()}
	c.changed.L = &c.mu
	return c
}

// serve hands the messages of the peer to the queue until either side ends the
// connection. It returns when all of them are settled.
func (c *conn) serve(ctx context.Context, queue transport.Queue) {
	err := c.read(ctx, queue)
	c.drain()
	c.report(err)
	c.close(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.unsettled > 0 && !c.abandoned {
		c.changed.Wait()
	}
}

// read takes messages until the connection ends, and returns why it does.
func (c *conn) read(ctx context.Context, queue transport.Queue) error {
	if err := c.await(); err != nil {
		return err
	}
	for {
		room := c.room()
		if room == 0 {
			return errEnding
		}
		err := c.take(ctx, queue, room)
		if err == nil && len(c.batch) < room {
			err = c.fill()
		}
		if err != nil {
			return err
		}
	}
}

// room waits until another message may be under way, and returns how many may
// be; 0 when the connection is ending.
func (c *conn) room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ending {
		if room := c.t.settings.Load().Pipeline - c.underWay; room > 0 {
			return room
		}
		c.changed.Wait()
	}
	return 0
}

// take hands the lines that have been read to the queue, up to room of them,
// in one go. It leaves them in c.batch, for their number.
func (c *conn) take(ctx context.Context, queue transport.Queue, room int) error {
	limit := int(c.t.settings.Load().MaxLine)
	c.batch = c.batch[:0]
	var first, last *message
	var wrong error
	for len(c.batch) < room {
		line, ok, err := c.input.next(limit)
		if !ok {
			wrong = err
			break
		}
		m := c.message(line)
		if first == nil {
			first = m
		} else {
			last.next = m
		}
		last = m
		c.batch = append(c.batch, m)
	}
	if first == nil {
		return wrong
	}
	if !c.begin(first, last, len(c.batch)) {
		return errEnding
	}
	n, _ := queue.Submit(ctx, c.batch) // short of all only when the service stops
	for _, m := range c.batch[n:] {
		m.Settle(nil, transport.ErrStopped)
	}
	clear(c.batch)
	return wrong
}

// message makes a message. They are made some at a time, as each is small.
func (c *conn) message(body []byte) *message {
	if len(c.slab) == 0 {
		c.slab = make([]message, 16)
	}
	m := &c.slab[0]
	c.slab = c.slab[1:]
	m.conn, m.text = c, body
	return m
}

// begin puts n messages under way, unless the connection is ending.
func (c *conn) begin(first, last *message, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	if c.first == nil {
		c.first = first
	} else {
		c.last.next = first
	}
	c.last = last
	c.underWay += n
	c.unsettled += n
	return true
}

// fill reads what the peer has sent, and waits for it to send something.
func (c *conn) fill() error {
	space := c.input.space(int(c.t.settings.Load().MaxLine))
	for {
		n, err := c.nc.Read(space)
		if n > 0 {
			c.input.read(n)
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.await()
		}
		if err != nil {
			return err
		}
	}
}

// await sets the time at which reading is to be interrupted because the
// connection may have become idle. It is called again when that time has come,
// rather than before each read, as setting it costs as much as a message.
func (c *conn) await() error {
	idle := time.Duration(c.t.settings.Load().IdleTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return errEnding
	}
	if idle == 0 {
		return c.nc.SetReadDeadline(time.Time{})
	}
	now := time.Now()
	since := c.replied
	if since.IsZero() {
		since = c.accepted
	}
	if c.underWay > 0 || c.writing {
		since = now
	}
	if now.Sub(since) >= idle {
		return errIdle
	}
	return c.nc.SetReadDeadline(since.Add(idle))
}

// wake makes the reading goroutine look at the settings again.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.interrupt()
	}
}

// stop ends reading. What is under way is still answered.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending {
		c.ending = true
		c.interrupt()
	}
}

// abandon ends the connection at once, whatever is under way.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned = true
	c.drop()
	_ = c.nc.Close()
}

// drop gives up all that is under way: no more replies are sent, no more
// messages read. The caller holds c.mu.
func (c *conn) drop() {
	c.first, c.last, c.underWay = nil, nil, 0
	if !c.ending {
		c.ending = true
		c.interrupt()
	}
	c.changed.Signal()
}

// interrupt wakes the reading goroutine wherever it waits. The caller holds
// c.mu.
func (c *conn) interrupt() {
	_ = c.nc.SetReadDeadline(time.Now())
	c.changed.Signal()
}

// drain waits until the replies to all that is under way are sent.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for c.first != nil || c.writing {
		c.changed.Wait()
	}
}

func (c *conn) log() *slog.Logger { return c.t.log.With("peer", c.nc.RemoteAddr().String()) }

// report logs why the reading ended, if somebody should know.
func (c *conn) report(err error) {
	log := c.log()
	switch rest := c.input.rest(); {
	case errors.Is(err, errTooLong):
		log.Warn("connection closed, line longer than max_line", "max_line", c.t.settings.Load().MaxLine)
	case errors.Is(err, io.EOF) && rest > 0:
		log.Info("last line without an end not taken", "bytes", rest)
	default:
		log.Debug("connection ended", "reason", err)
	}
}

// close ends the connection, in a way that lets the last replies arrive.
func (c *conn) close(err error) {
	defer func() { _ = c.nc.Close() }()
	c.mu.Lock()
	replied := c.replied
	c.mu.Unlock()
	if errors.Is(err, io.EOF) || time.Since(replied) > linger {
		return
	}
	nc, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || nc.CloseWrite() != nil {
		return
	}
	scrap := c.input.space(0)
	for begin := time.Now(); time.Since(begin) < linger; {
		_ = c.nc.SetReadDeadline(time.Now().Add(quiet))
		if _, err := c.nc.Read(scrap); err != nil {
			return
		}
	}
}
