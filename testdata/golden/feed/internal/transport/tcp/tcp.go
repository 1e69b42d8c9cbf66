// Package tcp serves peers that send a message a line over TCP:
//
//	$ printf 'one\ntwo\n' | nc -N 127.0.0.1 7000
//	TRUE
//	TRUE
//
// A line ends with "\n" or "\r\n"; an empty line is an empty message. Every
// message gets one line as its reply, in the order of the messages, although
// they are handled side by side: a peer need not wait for one reply before it
// sends the next message, and is read from while fewer than pipeline messages
// of its own are under way.
//
// No reply says that a message was not handled: the connection ends instead,
// and so what got no reply before its end was not handled, or its reply was
// lost on the way. This is what becomes of lines that are read but not yet
// handed to the workers when the service stops, of a line longer than max_line,
// of a connection above max_connections, and of a last line without its end,
// which may be half of a longer one whose sender died.
//
// A peer that closes its sending side first still gets all its replies. One
// that does not take its replies is dropped after write_timeout.
package tcp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"example.com/feed/internal/transport"
)

// Transport serves the section [transport.tcp]. It implements
// transport.Transport.
type Transport struct {
	log    *slog.Logger
	listen func(network, address string) (net.Listener, error)

	settings atomic.Pointer[Config] // what it points to is never written to
	refused  atomic.Uint64          // connections above max_connections

	// What is logged now and then only, however often it happens.
	full, noAccept, joined seldom

	mu       sync.Mutex
	state    state
	acceptor *acceptor // of the present address; nil from stopping on
	conns    map[*conn]struct{}
	failure  error // what Serve returns

	// From serving on.
	ctx   context.Context // ends when no more messages are to be taken
	end   context.CancelFunc
	queue transport.Queue

	accepting sync.WaitGroup // acceptors; added to only while serving
	peers     sync.WaitGroup // conns; added to only by acceptors
}

// A Transport passes through its states in this order; it may leave some out.
type state int

const (
	bound state = iota
	serving
	stopping
	closed
)

var _ transport.Transport = (*Transport)(nil)

// New implements transport.Config: it listens, and serves nobody yet.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	t := &Transport{log: env.Log, listen: env.Listen, conns: make(map[*conn]struct{})}
	settings := *c
	t.settings.Store(&settings)
	l, err := t.bind(settings.Listen)
	if err != nil {
		return nil, err
	}
	t.acceptor = newAcceptor(l)
	return t, nil
}

// Serve implements transport.Transport.
func (t *Transport) Serve(ctx context.Context, queue transport.Queue) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !t.begin(ctx, end, queue) {
		return nil
	}
	<-ctx.Done()
	t.stop()
	t.peers.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = closed
	return t.failure
}

// begin starts to accept, unless the transport is closed already.
func (t *Transport) begin(ctx context.Context, end context.CancelFunc, queue transport.Queue) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != bound {
		return false
	}
	t.state, t.ctx, t.end, t.queue = serving, ctx, end, queue
	t.start(t.acceptor)
	return true
}

// stop ends accepting, and then reading. All acceptors have ended in between,
// so no connection comes in behind its back.
func (t *Transport) stop() {
	t.mu.Lock()
	t.state = max(t.state, stopping)
	a := t.acceptor
	t.acceptor = nil
	t.mu.Unlock()
	if a != nil {
		_ = a.close()
	}
	t.accepting.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		c.stop()
	}
}

// fail ends serving for a reason that Serve returns.
func (t *Transport) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == serving {
		t.failure = err
		t.end()
	}
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == closed {
		return nil
	}
	if t.state != bound {
		t.end()
	}
	t.state = closed
	for c := range t.conns {
		c.abandon()
	}
	if t.acceptor == nil {
		return nil
	}
	a := t.acceptor
	t.acceptor = nil
	return a.close()
}

// Addr is the address that the transport listens on, with its real port; nil
// once it has stopped listening.
func (t *Transport) Addr() net.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.acceptor == nil {
		return nil
	}
	return t.acceptor.Addr()
}

// Status implements transport.Transport.
func (t *Transport) Status() string {
	what := "stopping"
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.acceptor != nil:
		what = "listening on " + t.acceptor.Addr().String()
	case t.state == closed:
		what = "closed"
	}
	connections := "connections"
	if len(t.conns) == 1 {
		connections = "connection"
	}
	return fmt.Sprintf("%s, %d %s, %d refused", what, len(t.conns), connections, t.refused.Load())
}
