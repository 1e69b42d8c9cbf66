// Package udp takes messages over UDP: a datagram is a message, and so is its
// reply, which goes back to the sender.
//
//	$ printf one | nc -u -w 1 127.0.0.1 7001
//	TRUE
//
// The network gives no promise, and so there is none here: a datagram may be lost,
// come twice, or after a later one. What is taken is handled as any message is, and
// answered when it is safe; who gets no reply has to send again. While the workers
// have no room nothing is read: the kernel keeps what comes, up to receive_buffer,
// and drops the rest. The status tells how many it has dropped, where the system
// counts them.
//
// The sender's address can be forged by whoever can send to the service. What is
// answered to it is short; still, listen where strangers can't send to.
package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

// Transport serves the section [transport.udp]. It implements
// transport.Transport.
type Transport struct {
	log    *slog.Logger
	listen func(network, address string) (net.PacketConn, error)

	settings atomic.Pointer[Config] // what it points to is never written to
	retired  chan struct{}          // closed by Retire
	closed   chan struct{}          // closed by Close
	counts   counts

	mu       sync.Mutex
	state    state
	endpoint *endpoint          // of the present address; nil from retiring on
	open     map[*endpoint]bool // with those of earlier addresses
	ctx      context.Context    // from serving on: ends when no more is to be taken
	queue    transport.Queue    // from serving on
	reading  sync.WaitGroup     // endpoints that are open; added to only while serving
}

// counts are since the service has begun.
type counts struct {
	taken   atomic.Uint64 // messages that the workers got
	tooLong atomic.Uint64 // datagrams longer than max_message
	unsent  atomic.Uint64 // replies that the kernel refused
	dropped atomic.Uint64 // datagrams without room in sockets that are closed
}

// A Transport passes through its states in this order; it may leave some out.
type state int

const (
	bound state = iota
	serving
	retiring
	stopped
)

var _ transport.Transport = (*Transport)(nil)

// New implements transport.Config: it binds the address, and reads nothing yet.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	t := &Transport{
		log:     env.Log,
		listen:  env.ListenPacket,
		retired: make(chan struct{}),
		closed:  make(chan struct{}),
		open:    make(map[*endpoint]bool),
	}
	settings := *c
	t.settings.Store(&settings)
	e, err := t.bind(&settings)
	if err != nil {
		return nil, err
	}
	t.endpoint = e
	t.open[e] = true
	return t, nil
}

// bind makes an endpoint, which the caller opens or closes.
func (t *Transport) bind(c *Config) (*endpoint, error) {
	conn, err := t.listen("udp", c.Listen)
	if err != nil {
		return nil, err
	}
	socket, ok := conn.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on udp %s: a %T", c.Listen, conn), conn.Close())
	}
	e := &endpoint{t: t, conn: socket}
	if err := e.setBuffer(c); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return e, nil
}

// Serve implements transport.Transport.
func (t *Transport) Serve(ctx context.Context, queue transport.Queue) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !t.begin(ctx, queue) {
		return nil
	}
	select {
	case <-ctx.Done():
	case <-t.retired: // ctx goes on: a datagram that was read already is not in the socket any more
	case <-t.closed:
	}
	t.leave(retiring)
	answered := make(chan struct{})
	go func() {
		t.reading.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-t.closed:
	}
	return t.Close()
}

// begin starts to read, unless the transport has ended already.
func (t *Transport) begin(ctx context.Context, queue transport.Queue) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != bound {
		return false
	}
	t.state, t.ctx, t.queue = serving, ctx, queue
	t.start(t.endpoint)
	return true
}

// start has an endpoint read. The caller holds t.mu.
func (t *Transport) start(e *endpoint) {
	ctx, queue := t.ctx, t.queue
	t.reading.Go(func() {
		e.serve(ctx, queue)
		t.close(e)
	})
}

// close closes an endpoint, and keeps what it has counted.
func (t *Transport) close(e *endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[e] {
		delete(t.open, e)
		t.counts.dropped.Add(e.dropped())
		_ = e.conn.Close()
	}
}

// Retire implements transport.Transport. What has arrived, and is not read, is in
// the socket that the other process has too.
func (t *Transport) Retire() { t.leave(retiring) }

// leave has nothing more be read.
func (t *Transport) leave(next state) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state < retiring {
		close(t.retired)
	}
	before := t.state
	t.state = max(t.state, next)
	t.endpoint = nil
	for e := range t.open {
		e.stop()
		if before == bound { // nobody serves it
			delete(t.open, e)
			_ = e.conn.Close()
		}
	}
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.leave(stopped)
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
		return nil
	default:
	}
	close(t.closed)
	for e := range t.open {
		delete(t.open, e)
		t.counts.dropped.Add(e.dropped())
		_ = e.conn.Close()
	}
	return nil
}

// Addr is the address that the transport listens on, with its real port; nil once
// it has stopped.
func (t *Transport) Addr() net.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.endpoint == nil {
		return nil
	}
	return t.endpoint.conn.LocalAddr()
}

// Status implements transport.Transport.
func (t *Transport) Status() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	what := "stopped"
	switch {
	case t.endpoint != nil:
		what = "listening on " + t.endpoint.conn.LocalAddr().String()
	case t.state == retiring:
		what = "no longer listening"
	}
	dropped := t.counts.dropped.Load()
	for e := range t.open {
		dropped += e.dropped()
	}
	return fmt.Sprintf("%s, %d messages, %d dropped for want of room, %d too long, %d replies not sent",
		what, t.counts.taken.Load(), dropped, t.counts.tooLong.Load(), t.counts.unsent.Load())
}

// Reload implements transport.Transport. At another address the service reads as
// of Commit; what has arrived at the old one by then is read as well.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(*Config)
	if !ok {
		return transport.Change{}, fmt.Errorf("reload of udp with a %T", to)
	}
	settings := *c
	t.mu.Lock()
	present := t.endpoint
	t.mu.Unlock()
	if present == nil {
		return transport.Change{}, transport.ErrStopped
	}
	var fresh *endpoint
	if settings.Listen != t.settings.Load().Listen {
		var err error
		if fresh, err = t.bind(&settings); err != nil {
			if errors.Is(err, syscall.EACCES) { // root can bind it at the start
				err = &transport.NeedsRestartError{Key: "listen", Cause: err}
			}
			return transport.Change{}, err
		}
	}
	return transport.Change{
		Commit: func() { t.commit(&settings, fresh) },
		Abort: func() {
			if fresh != nil {
				_ = fresh.conn.Close()
			}
		},
	}, nil
}

// commit makes the change; fresh is nil if the address stays.
func (t *Transport) commit(settings *Config, fresh *endpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settings.Store(settings)
	if fresh == nil {
		if t.endpoint != nil {
			_ = t.endpoint.setBuffer(settings) // of a socket that is open this can't fail
		}
		return
	}
	if t.state > serving {
		_ = fresh.conn.Close()
		return
	}
	old := t.endpoint
	t.endpoint = fresh
	t.open[fresh] = true
	if t.state == serving {
		t.start(fresh)
		old.replace()
		return
	}
	delete(t.open, old)
	_ = old.conn.Close()
}
