// Package transport is the socket into which the ways to reach the service are
// plugged: each transport is a folder beside this file, listed in
// internal/wire, with a section [transport.NAME] in the configuration.
package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"example.com/job/internal/config"
)

// ErrStopped is what a message is settled with when the service ends before
// the message was handled: it was not done, and its sender may send it again.
var ErrStopped = errors.New("the service is stopping")

// NeedsRestartError is what Reload fails with when a key could be as it is to be,
// but not while the service runs: a port that only root may bind, for instance.
type NeedsRestartError struct {
	Key   string // of the section
	Cause error
}

func (e *NeedsRestartError) Error() string { return e.Cause.Error() }

func (e *NeedsRestartError) Unwrap() error { return e.Cause }

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

// Keyed is a Message that can be kept in order with others, see KeyedConfig.
type Keyed interface {
	Message

	// Key returns the key of the kind that worker.ordered_by names. Messages
	// with the same key, whichever transport they come from, are handled one
	// after the other, in the order of Submit. A key that is only to be told
	// apart from those of the same transport has the name of that in it. Without
	// ok the message is in no order. Key is called before the message is
	// settled, and does not block.
	Key(of string) (key string, ok bool)
}

// Identified is a Message that can be told from all others. Either all messages of
// a transport are of such a type, or none is.
type Identified interface {
	Message

	// ID is the same each time that the message is delivered, also by another
	// process, and no other message of the transport has it; "": this one has
	// none. The handler gets it, to store a message once that comes twice. ID is
	// called before the message is settled, and does not block.
	ID() string
}

// Redelivered is a Message of a transport that delivers again what was not
// settled, such as a broker does for a consumer that has died.
type Redelivered interface {
	Identified

	// Redelivered reports whether the message may have been delivered before. It
	// may have been the end of the process which had it then; so its attempts
	// are recorded, by its ID. It is called before the message is settled, and
	// does not block.
	Redelivered() bool
}

// Refused is a Message that may have failed for good before anybody handled it.
// Either all messages of a transport are of such a type, or none is.
type Refused interface {
	Message

	// Refused says why the message must not be handled, such as that it is too
	// large; nil: it may be. It is called before the message is settled, and does
	// not block.
	Refused() error
}

// Burying is a Message that knows of a better place for a dead letter than the
// files of the service, such as a queue of the broker that it came from.
type Burying interface {
	Message

	// Bury keeps the message, which has failed for good, for that reason and
	// after so many attempts. It returns when that is safe, or with an error,
	// after which it is called again, later; it may block until ctx ends, and
	// should not for long. Without kept the transport leaves it to the service.
	Bury(ctx context.Context, reason string, attempts int) (kept bool, err error)
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

	// Retire makes way for another process, which serves the same addresses
	// through the same open sockets from now on. When it returns no peer is
	// taken any more; those that the kernel has let in, and that nobody has
	// accepted, are the other's, and what the addresses are known by, such as
	// the file of a socket, stays. The peers that are here are served, with all
	// that they still send, until they leave, and when the last has left Serve
	// returns nil. The end of ctx and Close have their meaning meanwhile.
	//
	// A transport that connects to its peers has none to wait for: it ends as
	// it does at the end of ctx. Retire may be called at any time, also twice,
	// from any goroutine; before Serve it leaves Serve nothing to do. Reload
	// fails from then on.
	Retire()

	// Close ends Serve at once and drops the peers. It may be called at any
	// time, also twice, from any goroutine, and without Serve.
	Close() error

	// Status is a short text for a person: listening on 127.0.0.1:7000, 3 peers.
	Status() string
}

// Remote is a Transport that connects to a server, which may be away for a while.
// It goes on by itself when that is back.
type Remote interface {
	Transport

	// Away says in words why the transport can't do its work at the moment, such
	// as "the broker is not reachable"; "": it can. The service is not ready
	// meanwhile. The words are for everybody who may ask for the status. Away may
	// be called from any goroutine and does not block.
	Away() string
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

// OwningConfig is the Config of a transport that says whose its sockets are: of
// those with a file.
type OwningConfig interface {
	Config

	// Own makes the file of a socket belong to whom it is to belong to: to the
	// user and group that the service runs as, unless the section says otherwise;
	// -1 stands for those of this process. It is called once the socket is bound,
	// by whoever has bound it, who may have rights that the service has not; for a
	// socket of Env.Listen it is up to the transport.
	Own(bound net.Addr, uid, gid int) error
}

// KeyedConfig is the Config of a transport whose messages are Keyed.
type KeyedConfig interface {
	Config

	// Keys names what worker.ordered_by can be, in the words of a user.
	Keys() []string
}

// RedeliveringConfig is the Config of a transport whose messages are
// Redelivered.
type RedeliveringConfig interface {
	Config

	// Redelivers reports whether messages that were not settled come again with
	// this configuration.
	Redelivers() bool
}

// RemoteConfig is the Config of a transport that connects to a server, which may
// be away, and which not every test can have. What it makes is a Remote.
type RemoteConfig interface {
	Config

	// Patience is how long a start waits for the server: as long as New fails
	// with an error that has a method Unavailable() bool which returns true, it
	// is called again. It is to return within a few seconds each time.
	Patience() time.Duration

	// Unused says why the section has no effect, such as "urls is empty"; "": it
	// has. Only a restart makes the one the other.
	Unused() string
}

// Address names a socket to listen on, in the terms of net.Listen.
type Address struct{ Network, Address string }

// Env is what the service gives to a transport.
type Env struct {
	Log *slog.Logger

	// StateDir is the folder of what is to outlast the process; absolute.
	StateDir string

	// Changed is to be called when Remote.Away may return something else, from
	// any goroutine, without a lock that Away takes. Nil: nobody wants to know.
	Changed func()

	// Listen is net.Listen, except that a socket which the parent has bound
	// already is taken over. Closing the listener is up to the caller; while
	// it stays open the address is its own, or shared with the process that
	// takes over from this one. A shared socket has to stay in non-blocking
	// mode, or Accept could not be interrupted.
	//
	// The relative path of a unix socket is in the run directory. Its file has the
	// mode 0600, unless the parent has changed that, takes the place of one that a
	// dead process left, and is removed when the last process closes it.
	Listen func(network, address string) (net.Listener, error)

	// ListenPacket is Listen for datagrams: net.ListenPacket, with the same
	// exception.
	ListenPacket func(network, address string) (net.PacketConn, error)
}
