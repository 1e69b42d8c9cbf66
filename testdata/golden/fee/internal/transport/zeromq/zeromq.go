// Package zeromq serves peers of ZeroMQ, and needs no library of it. There are
// three patterns:
//
//   - rep answers requests, of REQ and DEALER sockets, and through any number of
//     proxies. Requests are handled side by side, also those of one DEALER, and
//     each is answered when it is done.
//   - pull takes messages from PUSH sockets, and
//   - sub those from PUB sockets that begin with one of its topics. Neither gives
//     an answer: what the service has taken and can't handle is in the dead
//     letters, and what it has not taken when it stops is lost. For messages that
//     must not get lost there is rep.
//
// It binds addresses, connects to others, or both: a rep that connects to the
// DEALER of a proxy is one of its workers, a sub or pull often is the one that
// connects. For instance, from Python:
//
//	s = zmq.Context().socket(zmq.REQ)
//	s.connect("tcp://127.0.0.1:5555")
//	s.send(b"one")
//	s.recv()
//
// The body of a message is one frame: that which follows the empty frame of a
// request, and otherwise the only one. What becomes of a body of several frames
// the configuration says. A request without the empty frame, which only a DEALER
// or ROUTER can send, is counted, logged and left alone, as ZeroMQ does.
//
// No reply says that a request was not handled: the connection ends instead. This
// is what becomes of requests that are read but not yet handed to the workers when
// the service stops, of a message larger than max_message, of a connection above
// max_connections, and of a body of several frames where they are refused. A REQ
// socket goes on waiting then, unless it has a timeout (ZMQ_RCVTIMEO) and may send
// again (ZMQ_REQ_RELAXED, ZMQ_REQ_CORRELATE).
package zeromq

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"example.com/fee/internal/logging"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/accept"
)

// Transport serves the section [transport.zeromq]. It implements
// transport.Transport.
type Transport struct {
	log    *slog.Logger
	listen func(network, address string) (net.Listener, error)

	settings  atomic.Pointer[Config] // what it points to is never written to
	refused   atomic.Uint64          // connections above max_connections
	malformed atomic.Uint64          // messages without a body, or with one of several frames
	undone    atomic.Uint64          // messages that were given back and have no way back

	// What is logged now and then only, however often it happens.
	full, badMessage, badPeer, lost logging.Seldom

	mu        sync.Mutex
	state     state
	acceptors map[string]*accept.Acceptor // by what the configuration says; nil from retiring on
	dialers   map[string]*dialer          // likewise
	retired   chan struct{}               // closed by Retire
	conns     map[*conn]struct{}
	accepted  int        // of the conns, those that have connected to us
	early     []net.Conn // made to an address that was given up before serving
	failure   error      // what Serve returns

	// From serving on.
	ctx   context.Context // ends when no more messages are to be taken
	end   context.CancelFunc
	queue transport.Queue

	entrance   accept.Entrance // acceptors are started only while serving
	connecting sync.WaitGroup  // dialers, with their conns; likewise
	peers      sync.WaitGroup  // other conns; added to only by acceptors, and at the beginning
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

// New implements transport.Config: it listens, and serves nobody yet.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	t := &Transport{
		log:       env.Log,
		listen:    env.Listen,
		acceptors: make(map[string]*accept.Acceptor),
		dialers:   make(map[string]*dialer),
		retired:   make(chan struct{}),
		conns:     make(map[*conn]struct{}),
	}
	t.entrance = accept.Entrance{Admit: t.admit, Fail: t.fail, Log: t.log}
	settings := *c
	t.settings.Store(&settings)
	for _, text := range settings.Bind {
		l, err := t.bind(text)
		if err != nil {
			_ = t.Close()
			return nil, err
		}
		t.acceptors[text] = accept.New(l)
	}
	for _, text := range settings.Connect {
		t.dialers[text] = newDialer(text)
	}
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
	if n := t.undone.Load(); n > 0 {
		t.log.Warn("messages lost, the service has stopped before they were handled", "messages", n)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = closed
	return t.failure
}

// begin starts to accept and to connect, unless the transport is closed already.
func (t *Transport) begin(ctx context.Context, end context.CancelFunc, queue transport.Queue) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != bound {
		return false
	}
	t.state, t.ctx, t.end, t.queue = serving, ctx, end, queue
	for _, a := range t.acceptors {
		t.start(a)
	}
	for _, d := range t.dialers {
		t.dial(d)
	}
	for _, nc := range t.early {
		t.admitLocked(nc)
	}
	t.early = nil
	return true
}

// Retire implements transport.Transport. A socket that is open in another
// process too can be closed at any moment: what the kernel has queued stays in
// the queue, and what Accept has taken from it, Accept returns.
func (t *Transport) Retire() { t.leave(retiring) }

// outlast waits until the last peer has left, or ctx ends. The acceptors and
// dialers are waited for before the connections that they add.
func (t *Transport) outlast(ctx context.Context) {
	t.entrance.Wait()
	left := make(chan struct{})
	go func() {
		t.connecting.Wait()
		t.peers.Wait()
		close(left)
	}()
	select {
	case <-left:
	case <-ctx.Done():
	}
}

// leave gives the addresses up, for the state next, and returns when all
// acceptors have ended: no connection comes in any more. Connections that we have
// made to others are stopped.
func (t *Transport) leave(next state) {
	t.mu.Lock()
	if t.state < retiring && next == retiring {
		close(t.retired)
		t.log.Info("no longer listening", "connections", len(t.conns))
	}
	t.state = max(t.state, next)
	acceptors, dialers := t.acceptors, t.dialers
	t.acceptors, t.dialers = nil, nil
	t.mu.Unlock()
	for _, a := range acceptors {
		_ = a.Close()
	}
	for _, d := range dialers {
		d.stop()
	}
	t.entrance.Wait()
}

// stop ends accepting and connecting, and then reading. All acceptors have ended
// in between, so no connection comes in behind its back; one that a dialer still
// makes ends with the dialer.
func (t *Transport) stop() {
	t.leave(stopping)
	t.mu.Lock()
	for c := range t.conns {
		c.stop()
	}
	t.mu.Unlock()
	t.connecting.Wait()
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
	for _, d := range t.dialers {
		d.stop()
	}
	for _, nc := range t.early {
		_ = nc.Close()
	}
	var err error
	for _, a := range t.acceptors {
		if closeErr := a.Close(); err == nil {
			err = closeErr
		}
	}
	t.acceptors, t.dialers, t.early = nil, nil, nil
	return err
}

// Addr is the first of the addresses that the transport listens on, with its real
// port; nil once it has stopped listening.
func (t *Transport) Addr() net.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range t.settings.Load().Bind {
		if a := t.acceptors[text]; a != nil {
			return a.Addr()
		}
	}
	return nil
}

// Status implements transport.Transport.
func (t *Transport) Status() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	switch t.state {
	case closed:
		parts = append(parts, "closed")
	case retiring:
		parts = append(parts, "no longer listening")
	case stopping:
		parts = append(parts, "stopping")
	}
	settings := t.settings.Load()
	for _, text := range settings.Bind {
		if a := t.acceptors[text]; a != nil {
			parts = append(parts, "listening on "+textOf(a.Addr()))
		}
	}
	if len(t.dialers) > 0 {
		connected := 0
		for _, d := range t.dialers {
			if d.connected.Load() {
				connected++
			}
		}
		parts = append(parts, fmt.Sprintf("connected to %d of %d", connected, len(t.dialers)))
	}
	connections := "connections"
	if len(t.conns) == 1 {
		connections = "connection"
	}
	parts = append(parts, fmt.Sprintf("%d %s, %d refused", len(t.conns), connections, t.refused.Load()))
	if n := t.malformed.Load(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d malformed", n))
	}
	return settings.Pattern + ", " + strings.Join(parts, ", ")
}
