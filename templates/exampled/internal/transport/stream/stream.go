// Package stream is what the transports have in common whose peers are on a stream
// of bytes: where a message ends, how many may be under way, what is waited for
// and for how long, and how connections are taken in and let go. What is of one
// kind of socket alone, such as where it listens and who may connect, is an
// [Endpoint].
//
// Every message gets a reply, in the same framing, in the order of the messages,
// although they are handled side by side: a peer need not wait for one reply
// before it sends the next message, and is read from while fewer than pipeline
// messages of its own are under way.
//
// No reply says that a message was not handled: the connection ends instead,
// and so what got no reply before its end was not handled, or its reply was
// lost on the way. This is what becomes of messages that are read but not yet
// handed to the workers when the service stops, of a message longer than
// max_message, or not complete within read_timeout, of a connection above
// max_connections, and of a last message without its end, which may be half of a
// longer one whose sender died.
//
// A peer that closes its sending side first still gets all its replies. One
// that does not take its replies is dropped after write_timeout.
package stream

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/daemongen/daemongen/templates/exampled/internal/logging"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/accept"
)

// Config is the section of a transport of this package.
type Config interface {
	transport.Config

	// Stream returns the settings that the section has from this package.
	Stream() Settings

	// Endpoint returns what the section says of its kind of socket. It does all of
	// that that can fail before the socket is there.
	Endpoint() (*Endpoint, error)
}

// Endpoint is a place to listen, and what a connection goes through there before
// its first message. Its functions may be called from any goroutine, and do not
// block; they are nil where there is nothing to do.
type Endpoint struct {
	Name             string // of the transport: tcp
	Network, Address string // in the terms of net.Listen
	Key              string // of the section, that holds the address

	// Bound makes the socket ready that is bound to the address.
	Bound func(net.Listener) error

	// Admit says why a connection is refused.
	Admit func(net.Conn) error

	// Wrap returns the connection that messages are read from. If it has a method
	// HandshakeContext, that is called before.
	Wrap func(net.Conn) net.Conn

	// Peer names the other end of a connection for the log; nil: its address does.
	Peer func(net.Conn) string
}

func (e *Endpoint) peer(nc net.Conn) string {
	if e.Peer != nil {
		return e.Peer(nc)
	}
	return nc.RemoteAddr().String()
}

// present is a configuration in force. It is never written to.
type present struct {
	settings Settings
	endpoint *Endpoint
}

func prepare(c Config) (*present, error) {
	e, err := c.Endpoint()
	if err != nil {
		return nil, err
	}
	return &present{c.Stream(), e}, nil
}

// Transport serves a section. It implements transport.Transport.
type Transport struct {
	log     *slog.Logger
	listen  func(network, address string) (net.Listener, error)
	section reflect.Type // what New was called with

	present atomic.Pointer[present]

	// Connections that were not served: above max_connections, not admitted, and
	// not made secure.
	refused, unwanted, insecure atomic.Uint64

	// What is logged now and then only, however often it happens.
	full, noEntry, noHandshake, joined logging.Seldom

	mu       sync.Mutex
	state    state
	acceptor *accept.Acceptor // of the present address; nil from retiring on
	retired  chan struct{}    // closed by Retire
	conns    map[*conn]struct{}
	failure  error // what Serve returns

	// From serving on.
	ctx   context.Context // ends when no more messages are to be taken
	end   context.CancelFunc
	queue transport.Queue

	entrance accept.Entrance // acceptors are started only while serving
	peers    sync.WaitGroup  // conns; added to only by acceptors
}

// A Transport passes through its states in this order; it may leave some out.
type state int

const (
	bound state = iota
	serving
	retiring
	stopping
	closed
)

var _ transport.Transport = (*Transport)(nil)

// New makes the transport of a section: it listens, and serves nobody yet.
func New(c Config, env transport.Env) (*Transport, error) {
	p, err := prepare(c)
	if err != nil {
		return nil, err
	}
	t := &Transport{
		log:     env.Log,
		listen:  env.Listen,
		section: reflect.TypeOf(c),
		retired: make(chan struct{}),
		conns:   make(map[*conn]struct{}),
	}
	t.present.Store(p)
	t.entrance = accept.Entrance{Admit: t.admit, Fail: t.fail, Log: t.log}
	l, err := t.bind(p.endpoint)
	if err != nil {
		return nil, err
	}
	t.acceptor = accept.New(l)
	return t, nil
}

// Serve implements transport.Transport.
func (t *Transport) Serve(ctx context.Context, queue transport.Queue) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !t.begin(ctx, end, queue) {
		return nil
	}
	select {
	case <-ctx.Done():
	case <-t.retired:
		t.outlast(ctx)
	}
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

// Retire implements transport.Transport. A socket that is open in another
// process too can be closed at any moment: what the kernel has queued stays in
// the queue, and what Accept has taken from it, Accept returns.
func (t *Transport) Retire() { t.leave(retiring) }

// outlast waits until the last peer has left, or ctx ends. The acceptors are
// waited for before the connections that they add.
func (t *Transport) outlast(ctx context.Context) {
	t.entrance.Wait()
	left := make(chan struct{})
	go func() {
		t.peers.Wait()
		close(left)
	}()
	select {
	case <-left:
	case <-ctx.Done():
	}
}

// leave gives the address up, for the state next, and returns when all
// acceptors have ended: no connection comes in any more.
func (t *Transport) leave(next state) {
	t.mu.Lock()
	if t.state < retiring && next == retiring {
		close(t.retired)
		t.log.Info("no longer listening", "connections", len(t.conns))
	}
	t.state = max(t.state, next)
	a := t.acceptor
	t.acceptor = nil
	t.mu.Unlock()
	if a != nil {
		_ = a.Close()
	}
	t.entrance.Wait()
}

// stop ends accepting, and then reading. All acceptors have ended in between,
// so no connection comes in behind its back.
func (t *Transport) stop() {
	t.leave(stopping)
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
	if t.end != nil {
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
	return a.Close()
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
	case t.state == retiring:
		what = "no longer listening"
	case t.state == closed:
		what = "closed"
	}
	connections := "connections"
	if len(t.conns) == 1 {
		connections = "connection"
	}
	status := fmt.Sprintf("%s, %d %s, %d refused", what, len(t.conns), connections, t.refused.Load())
	if n := t.unwanted.Load(); n > 0 {
		status += fmt.Sprintf(", %d not allowed", n)
	}
	if n := t.insecure.Load(); n > 0 {
		status += fmt.Sprintf(", %d failed handshakes", n)
	}
	return status
}
