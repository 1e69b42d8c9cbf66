// One connection, and reading its messages. A goroutine of its own does that
// from the first byte to the end; message.go has the other direction.

package zeromq

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/zeromq/zmtp"
)

// gather is how much is handed to the queue in one go, if it is there, since that
// costs the same for one message and for many.
const gather = 64 << 10

// quiet is how long a peer may send nothing, when its connection is to be ended,
// until it is taken to have fetched its last replies.
const quiet = 50 * time.Millisecond

// Why the reading of a connection ends, apart from the errors of zmtp.
var (
	errEnding = errors.New("the connection is ending")
	errParts  = errors.New("a request with a body of several frames")
)

// conn is a connection with the messages under way on it: those of a rep from
// the request that was read to the reply that is sent, others until they are
// settled.
type conn struct {
	t       *Transport
	nc      net.Conn
	key     string // of its messages
	replies bool   // its messages are requests

	// Of the reading goroutine alone.
	slab  []message
	batch []transport.Message

	mu      sync.Mutex
	changed sync.Cond // tells the reading goroutine of any change below

	peer      *zmtp.Conn // nil before the handshake is done
	topics    []string   // that the peer was asked for
	underWay  int
	unsettled int       // how many messages the queue has
	replied   time.Time // when the last reply was sent

	ending    bool // read no more
	abandoned bool // wait for nothing
}

// connections counts them, in all transports of the process.
var connections atomic.Uint64

// newConn makes a connection. The caller holds t.mu.
func (t *Transport) newConn(nc net.Conn) *conn {
	c := &conn{t: t, nc: nc, replies: t.settings.Load().Pattern == rep}
	c.key = "zeromq " + strconv.FormatUint(connections.Add(1), 10)
	c.changed.L = &c.mu
	t.conns[c] = struct{}{}
	return c
}

// shake agrees with the peer on how to speak, as the server or the client of the
// mechanism.
func (c *conn) shake(server bool) error {
	settings := c.t.settings.Load()
	options := settings.options(server)
	options.OnSent = c.sent
	peer, err := zmtp.Handshake(c.nc, options)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.peer = peer
	ending := c.ending
	c.mu.Unlock()
	if ending {
		return errEnding
	}
	c.subscribe()
	return nil
}

// subscribe asks a publisher for the topics of the configuration, and no more for
// those that it no longer has.
func (c *conn) subscribe() {
	settings := c.t.settings.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if settings.Pattern != sub || c.peer == nil {
		return
	}
	for _, topic := range without(settings.Topics, c.topics) {
		c.peer.Subscribe([]byte(topic))
	}
	for _, topic := range without(c.topics, settings.Topics) {
		c.peer.Cancel([]byte(topic))
	}
	c.topics = settings.Topics
}

// serve hands the messages of the peer to the queue until either side ends the
// connection, and returns why it ended, when all of them are settled.
func (c *conn) serve(ctx context.Context, queue transport.Queue) error {
	err := c.read(ctx, queue)
	c.drain()
	c.report(err)
	c.close(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.unsettled > 0 && !c.abandoned {
		c.changed.Wait()
	}
	return err
}

// read takes messages until the connection ends, and returns why it does.
func (c *conn) read(ctx context.Context, queue transport.Queue) error {
	for {
		room := c.room()
		if room == 0 {
			return errEnding
		}
		taken, err := c.take(ctx, queue, room)
		if err == nil && taken < room {
			err = c.peer.Fill()
		}
		if errors.Is(err, zmtp.ErrInterrupted) {
			return errEnding
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

// take hands the messages that have been read to the queue, up to room of them,
// in one go. It returns how many there were; the error is of the first that is
// none.
func (c *conn) take(ctx context.Context, queue transport.Queue, room int) (int, error) {
	c.batch = c.batch[:0]
	settings := c.t.settings.Load()
	var wrong error
	for size := 0; len(c.batch) < room && wrong == nil; {
		frames, ok, err := c.peer.Next()
		if !ok && err == nil && size < gather && c.peer.FillMore() {
			continue
		}
		if !ok {
			wrong = err
			break
		}
		m, err := c.message(settings, frames)
		if m != nil {
			c.batch = append(c.batch, m)
			size += len(m.body)
		}
		wrong = err
	}
	taken := len(c.batch)
	if taken == 0 {
		return 0, wrong
	}
	if !c.begin(taken) {
		return 0, errEnding
	}
	n, _ := queue.Submit(ctx, c.batch) // short of all only when the service stops
	for _, m := range c.batch[n:] {
		m.Settle(nil, transport.ErrStopped)
	}
	clear(c.batch)
	return taken, wrong
}

// begin puts n messages under way, unless the connection is ending.
func (c *conn) begin(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	c.underWay += n
	c.unsettled += n
	return true
}

// wake makes the reading goroutine look at the settings again.
func (c *conn) wake() {
	c.subscribe()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Signal()
}

// stop ends reading. What is under way is still answered.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

// end makes the reading goroutine end wherever it waits. The caller holds c.mu.
func (c *conn) end() {
	c.ending = true
	if c.peer == nil {
		_ = c.nc.Close() // in the handshake nothing is under way
	} else {
		c.peer.Interrupt()
	}
	c.changed.Signal()
}

// abandon ends the connection at once, whatever is under way.
func (c *conn) abandon() {
	c.mu.Lock()
	c.abandoned = true
	c.end()
	peer := c.peer
	c.mu.Unlock()
	if peer != nil {
		_ = peer.Close()
	}
}

// drain waits until the replies to all that is under way are sent.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for c.underWay > 0 && !c.abandoned {
		c.changed.Wait()
	}
}

// nameOf is what a peer is called in the log. One that comes by the file of a
// socket has no address of its own.
func nameOf(nc net.Conn) string {
	if name := nc.RemoteAddr().String(); name != "" && name != "@" {
		return name
	}
	return textOf(nc.LocalAddr())
}

func (c *conn) log() *slog.Logger { return c.t.log.With("peer", nameOf(c.nc)) }

// report logs why the reading ended, if somebody should know.
func (c *conn) report(err error) {
	switch {
	case errors.Is(err, zmtp.ErrTooLarge), errors.Is(err, zmtp.ErrNotReading), errors.Is(err, errParts):
		c.log().Warn("connection closed", "reason", err)
	case errors.Is(err, zmtp.ErrProtocol), errors.Is(err, zmtp.ErrAuthentication), errors.Is(err, zmtp.ErrSilent):
		c.log().Info("connection closed", "reason", err)
	case errors.Is(err, io.EOF) && c.peer.Buffered() > 0:
		c.log().Info("last message not taken, it is not complete", "bytes", c.peer.Buffered())
	default:
		c.log().Debug("connection ended", "reason", err)
	}
}

// close ends the connection. To close one on which input is unread, or still to
// come, makes the kernel reset it, and replies that are on their way are lost. So
// one whose last reply is younger than linger is closed only when its peer has
// closed it, or has sent nothing for the time quiet, or after linger.
func (c *conn) close(err error) {
	defer func() { _ = c.peer.Close() }()
	linger := time.Duration(c.t.settings.Load().Linger)
	c.mu.Lock()
	replied, abandoned := c.replied, c.abandoned
	c.mu.Unlock()
	if abandoned || errors.Is(err, io.EOF) || time.Since(replied) > linger {
		return
	}
	nc, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || nc.CloseWrite() != nil {
		return
	}
	var scrap [minScrap]byte
	for begin := time.Now(); time.Since(begin) < linger; {
		_ = c.nc.SetReadDeadline(time.Now().Add(quiet))
		if _, err := c.nc.Read(scrap[:]); err != nil {
			return
		}
	}
}

// minScrap is how much of what nobody wants is read at a time.
const minScrap = 2 << 10
