// Package zmtp is a peer of ZMTP 3.1, the protocol of ZeroMQ between two
// processes (https://rfc.zeromq.org/spec/37/), over a connection that the caller
// has accepted or dialled. It speaks with peers of ZMTP 3.0 as well, and refuses
// those of 1.0 and 2.0, which can't authenticate.
//
// A Conn is made by Handshake, with one of the mechanisms NULL, PLAIN
// (https://rfc.zeromq.org/spec/24/) and CURVE (https://rfc.zeromq.org/spec/26/).
// What a socket type does with the messages, such as REP or PULL, is left to the
// caller.
//
// Nothing that a peer says makes this package allocate more than the peer has
// sent: lengths are checked against the limits as soon as they are there, and
// buffers grow with what arrives.
package zmtp

import (
	"errors"
	"time"
)

// Why a connection ends, apart from the errors of the network. They are wrapped
// in errors that say more.
var (
	// ErrProtocol means that what the peer sent is not ZMTP, or not here.
	ErrProtocol = errors.New("protocol error")

	// ErrVersion means that the peer speaks ZMTP 1.0 or 2.0.
	ErrVersion = errors.New("the peer speaks a version of ZMTP before 3.0")

	// ErrAuthentication means that the peer has not proved who it is, or that it
	// does not believe us.
	ErrAuthentication = errors.New("not authenticated")

	// ErrTooLarge means that a message has more bytes or frames than Options allow.
	ErrTooLarge = errors.New("message too large")

	// ErrSilent means that the peer has answered no heartbeat in time.
	ErrSilent = errors.New("no sign of life from the peer")

	// ErrNotReading means that the peer has taken nothing of what is sent to it.
	ErrNotReading = errors.New("the peer takes nothing")
)

// Options say how to speak with a peer. All fields but Identity and the two that
// begin with On are required.
type Options struct {
	// SocketType is what this side is, such as "ROUTER".
	SocketType string

	// Identity is what a peer that is a ROUTER may call this side; empty lets the
	// peer choose.
	Identity string

	// Mechanism is how the peers make sure of each other.
	Mechanism Mechanism

	// MaxMessage is how many bytes the frames of a message may have together,
	// and MaxFrames how many frames there may be.
	MaxMessage int
	MaxFrames  int

	// HandshakeTimeout is how long the peer may take until messages can flow.
	HandshakeTimeout time.Duration

	// HeartbeatInterval is how long the peer may send nothing before it is asked
	// for a sign of life, again and again, and HeartbeatTimeout how long until it
	// is given up. An interval of 0 asks nobody, and gives nobody up.
	HeartbeatInterval time.Duration
	HeartbeatTimeout  time.Duration

	// WriteTimeout is how long the peer may take none of what is sent to it
	// before it is given up.
	WriteTimeout time.Duration

	// OnSent is called, from any goroutine and without a lock, when so many
	// messages that were given to Send are with the kernel, or lost with the
	// connection. It does not block.
	OnSent func(messages int)

	// OnSubscription is called by Next when the peer subscribes to topics with
	// this prefix, or cancels that. Without it subscriptions are ignored, and
	// those that come as messages are messages.
	OnSubscription func(topic []byte, subscribe bool)
}

// partners has the socket types that each may speak to, of those that this side
// can be; see https://rfc.zeromq.org/spec/28/ and 29, 30.
var partners = map[string][]string{
	"REP":    {"REQ", "DEALER"},
	"ROUTER": {"REQ", "DEALER", "ROUTER"},
	"REQ":    {"REP", "ROUTER"},
	"DEALER": {"REP", "DEALER", "ROUTER"},
	"PULL":   {"PUSH"},
	"PUSH":   {"PULL"},
	"SUB":    {"PUB", "XPUB"},
	"PUB":    {"SUB", "XSUB"},
}
