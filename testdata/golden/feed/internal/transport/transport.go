// Package transport is the socket into which the ways to reach the service are
// plugged: each transport is a folder beside this file, listed in
// internal/wire, with a section [transport.NAME] in the configuration.
package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"example.com/feed/internal/config"
)

// ErrStopped is what a message is settled with when the service ends before
// the message was handled: it was not done, and its sender may send it again.
var ErrStopped = errors.New("the service is stopping")

// Message is one unit of work on its way from a peer to the handler.
type Message interface {
	// Body is what the peer sent, without framing. It is not written to or used
	// again, also after the message is settled: a handler that was given up may
	// still read it.
	Body() []byte

	// Settle says what became of the message. It is called exactly once, after
	// the work is safe or has failed for good, from any goroutine, and does not
	// block on the peer. A nil err: the message is done. ErrStopped: it was not
	// handled and goes back to its sender. Any other err: it failed for good
	// and reply says so. The transport owns reply from then on.
	Settle(reply []byte, err error)
}

// Queue takes messages to the workers.
type Queue interface {
	// Submit hands over messages, in order. It blocks while the queue is full:
	// that is the back-pressure, the transport stops reading. It returns how
	// many messages it took; these, and only these, will be settled. The error
	// is ctx's, or ErrStopped once the queue is closed, and is nil exactly when
	// every message was taken. Submit does not keep the slice.
	Submit(ctx context.Context, messages []Message) (int, error)
}

// Transport serves the peers of one section of the configuration.
type Transport interface {
	// Serve takes messages to the queue until ctx ends; then it stops taking,
	// waits until every message that it took is settled and every reply is
	// sent, and returns nil. It returns an error if it can't go on serving.
	// Serve is called once.
	Serve(ctx context.Context, queue Queue) error

	// Reload prepares the change to another configuration of the same type.
	// All that can fail happens here; the change that it returns can't fail.
	// Reload may be called while Serve runs, by one goroutine at a time.
	Reload(to Config) (Change, error)

	// Close ends Serve at once and drops the peers. It may be called at any
	// time, also twice, from any goroutine, and without Serve.
	Close() error

	// Status is a short text for a person: listening on 127.0.0.1:7000, 3 peers.
	Status() string
}

// Change is a prepared change of configuration: exactly one of its functions
// is called, once. Neither can fail or block.
type Change struct {
	Commit func() // make the change
	Abort  func() // give up what was prepared for it
}

// Config is one section [transport.NAME]: a pointer to a struct that holds the
// defaults until the configuration is decoded over them.
type Config interface {
	config.Section

	// Listens names the sockets that the transport will ask Env.Listen for, so
	// that a privileged parent can bind them before it gives its rights up.
	// Empty for a transport that connects.
	Listens() []Address

	// New makes the transport. It binds and opens all that can fail, and serves
	// nobody before Serve.
	New(env Env) (Transport, error)
}

// Address names a socket to listen on, in the terms of net.Listen.
type Address struct{ Network, Address string }

// Env is what the service gives to a transport.
type Env struct {
	Log *slog.Logger

	// Listen is net.Listen, except that a socket which the parent has bound
	// already is taken over. Closing the listener is up to the caller; while
	// it stays open the address is its own.
	Listen func(network, address string) (net.Listener, error)
}
