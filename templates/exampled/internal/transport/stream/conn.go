// One connection, and reading its messages. A goroutine of its own does that
// from the first byte to the end; replies.go has the other direction.

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
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
	errSlow   = errors.New("message not complete in time")
	errSecure = errors.New("not made secure")
)

// conn is a connection with the messages under way on it, from the one that was
// read to the reply that is sent.
type conn struct {
	t        *Transport
	socket   socket
	framing  framing
	accepted time.Time
	key      string // of its messages

	// Of the reading goroutine alone.
	input input
	begun time.Time // when the peer was first waited for, amid a message; zero: it is not
	due   time.Time // when reading is interrupted; zero: never
	batch []transport.Message
	slab  []message // to make messages of
	busy  int       // so many messages were read at once, or fewMessages

	mu      sync.Mutex
	changed sync.Cond // tells the reading goroutine of any change below

	first, last *message  // under way, in the order of arrival
	underWay    int       // how many
	unsettled   int       // how many messages the queue has
	submitting  bool      // the reading goroutine hands messages over
	writing     bool      // somebody sends replies
	replied     time.Time // when all that were ready had last been sent

	securing  bool // nothing is read or written but by the handshake
	ending    bool // read no more
	abandoned bool // wait for nothing

	soon    bool        // overdue is set
	overdue *time.Timer // sends replies that wait for the end of submitting; nil at first
}

// connections counts them, in all transports of the process.
var connections atomic.Uint64

func newConn(t *Transport, nc net.Conn, p *present) *conn {
	c := &conn{t: t, framing: framings[p.settings.Framing], accepted: time.Now()}
	c.key = p.endpoint.Name + " " + strconv.FormatUint(connections.Add(1), 10)
	c.changed.L = &c.mu
	c.input.framing = c.framing
	c.socket.init(nc)
	_, c.securing = nc.(handshaker)
	return c
}

// handshaker is a connection that has something to do before its first message.
type handshaker interface {
	HandshakeContext(context.Context) error
}

func (c *conn) settings() *Settings { return &c.t.present.Load().settings }

// serve hands the messages of the peer to the queue until either side ends the
// connection. It returns when all of them are settled.
func (c *conn) serve(ctx context.Context, queue transport.Queue) {
	err := c.secure(ctx)
	if err == nil {
		err = c.read(ctx, queue)
	}
	c.drain()
	c.report(err)
	c.close(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.unsettled > 0 && !c.abandoned {
		c.changed.Wait()
	}
}

// secure makes the handshake that the connection begins with, if it has one. It
// is to be complete in time, from when the connection was accepted.
func (c *conn) secure(ctx context.Context) error {
	nc, ok := c.socket.Conn.(handshaker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, c.accepted.Add(time.Duration(c.settings().ReadTimeout)))
	defer cancel()
	err := nc.HandshakeContext(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.securing = false
	if err == nil {
		return nil
	}
	if !c.ending {
		c.t.insecure.Add(1)
	}
	c.ending = true
	return fmt.Errorf("%w: %w", errSecure, err)
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
		taken, err := c.take(ctx, queue, room)
		if err == nil && taken < room {
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
		if room := c.settings().Pipeline - c.underWay; room > 0 {
			return room
		}
		c.changed.Wait()
	}
	return 0
}

// take hands the messages that have been read to the queue, up to room of them,
// in one go, and returns how many.
func (c *conn) take(ctx context.Context, queue transport.Queue, room int) (taken int, err error) {
	limit := int(c.settings().MaxMessage)
	var first, last *message
	var wrong error
	for len(c.batch) < room {
		body, ok, err := c.input.next(limit)
		if !ok {
			wrong = err
			break
		}
		m := c.message(body)
		if first == nil {
			first = m
		} else {
			last.next = m
		}
		last = m
		c.batch = append(c.batch, m)
	}
	if first == nil {
		return 0, wrong
	}
	c.begun = time.Time{}
	taken = len(c.batch)
	if !c.begin(first, last, taken) {
		return taken, errEnding
	}
	n, _ := queue.Submit(ctx, c.batch) // short of all only when the service stops
	for _, m := range c.batch[n:] {
		m.Settle(nil, transport.ErrStopped)
	}
	c.submitted()
	clear(c.batch)
	if c.batch = c.batch[:0]; cap(c.batch) > fewMessages {
		c.batch = nil // not for as long as the connection is idle
	}
	c.slab, c.busy = nil, min(taken, fewMessages)
	return taken, wrong
}

// fewMessages is how many cost little to hold.
const fewMessages = 16

// message makes a message. They are made several at a time where several came
// before.
func (c *conn) message(body []byte) *message {
	if len(c.slab) == 0 {
		c.slab = make([]message, max(1, c.busy))
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
	c.submitting = true
	return true
}

// fill reads what the peer has sent, and waits for it to send something.
func (c *conn) fill() error {
	if c.input.rest() > 0 && c.begun.IsZero() {
		c.begun = time.Now()
		if due := c.begun.Add(time.Duration(c.settings().ReadTimeout)); c.due.IsZero() || due.Before(c.due) {
			if err := c.await(); err != nil {
				return err
			}
		}
	}
	for {
		err := c.socket.receive(&c.input)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if err = c.await(); err == nil {
				continue
			}
		}
		return err
	}
}

// await sets the time at which reading is to be interrupted because the
// connection may have become idle, or a message be late. It is called again when
// that time has come, rather than before each read, as setting it costs as much
// as a message.
func (c *conn) await() error {
	s := c.settings()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return errEnding
	}
	now := time.Now()
	c.due = time.Time{}
	if idle := time.Duration(s.IdleTimeout); idle > 0 {
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
		c.due = since.Add(idle)
	}
	if !c.begun.IsZero() {
		late := c.begun.Add(time.Duration(s.ReadTimeout))
		if !now.Before(late) {
			return errSlow
		}
		if c.due.IsZero() || late.Before(c.due) {
			c.due = late
		}
	}
	return c.socket.SetReadDeadline(c.due)
}

// wake makes the reading goroutine look at the settings again.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ending && !c.securing {
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
	c.disconnect()
}

// disconnect closes the connection without a last word, for which a peer that
// takes nothing might have to be waited for.
func (c *conn) disconnect() {
	nc := c.socket.Conn
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok { // as a tls.Conn has
		nc = over.NetConn()
	}
	_ = nc.Close()
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
	_ = c.socket.SetReadDeadline(time.Now())
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

func (c *conn) log() *slog.Logger {
	return c.t.log.With("peer", c.t.present.Load().endpoint.peer(c.socket.Conn))
}

// report logs why the reading ended, if somebody should know.
func (c *conn) report(err error) {
	log := c.log()
	switch rest := c.input.rest(); {
	case errors.Is(err, errTooLong):
		log.Warn("connection closed, message longer than max_message", "max_message", c.settings().MaxMessage)
	case errors.Is(err, errSlow):
		log.Warn("connection closed, message not complete within read_timeout", "bytes", rest)
	case errors.Is(err, errSecure):
		if c.t.noHandshake.Due() {
			log.Warn("connection closed, not made secure", "error", err, "failures", c.t.insecure.Load())
		}
	case errors.Is(err, io.EOF) && rest > 0:
		log.Info("last message without an end not taken", "bytes", rest)
	default:
		log.Debug("connection ended", "reason", err)
	}
}

// close ends the connection, in a way that lets the last replies arrive.
func (c *conn) close(err error) {
	c.mu.Lock()
	replied := c.replied
	c.mu.Unlock()
	if errors.Is(err, io.EOF) {
		_ = c.socket.Close()
		return
	}
	defer c.disconnect()
	if time.Since(replied) > linger {
		return
	}
	half, ok := c.socket.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	scrap := scratches.Get().(*[16 << 10]byte)
	defer scratches.Put(scrap)
	for begin := time.Now(); time.Since(begin) < linger; {
		_ = c.socket.SetReadDeadline(time.Now().Add(quiet))
		if _, err := c.socket.Read(scrap[:]); err != nil {
			return
		}
	}
}
