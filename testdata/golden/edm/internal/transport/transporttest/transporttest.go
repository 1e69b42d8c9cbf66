// Package transporttest is the conformance suite for transports: what the
// service relies on, whichever way its messages come. A transport passes it
// with a Harness of its own:
//
//	func TestConformance(t *testing.T) {
//		transporttest.Run(t, transporttest.Harness{
//			Config:  func() transport.Config { … },
//			Address: func(tr transport.Transport) string { … },
//			Dial:    func(address string) (transporttest.Peer, error) { … },
//			Replies: true,
//		})
//	}
//
// The parts count goroutines and descriptors, so they run one after the other,
// and nothing else may run beside them.
package transporttest

import (
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"example.com/edm/internal/transport"
)

// Patience is how long the suite waits for what has to happen. It says nothing
// about how fast a transport is: a transport that passes never waits for it.
const Patience = 30 * time.Second

// Harness says how to make a transport and how to be its peer.
type Harness struct {
	// Config returns a valid configuration that no other call returns, so that
	// a reload with it changes the address. It lets a peer that does not take
	// its replies go within a second or two.
	Config func() transport.Config

	// Address is where peers reach the transport now.
	Address func(transport.Transport) string

	// Dial connects a peer: to the transport, or to the broker that it connects
	// to, with the same address.
	Dial func(address string) (Peer, error)

	// Cut ends the connections that the transport has made, and keeps it from
	// making others until restore is called. Peers are dialled anew after that.
	// Nil for a transport that makes none.
	Cut func(transport.Transport) (restore func())

	// What the transport can do; parts that need more are skipped.
	Replies    bool // a peer gets one reply to each message
	Ordered    bool // many messages of a peer may be under way, replies keep their order
	Ends       bool // a peer is told by the end of its connection that there is no reply
	Listens    bool // the transport asks Env.Listen for its address
	Redelivers bool // what was not settled comes again; its messages are transport.Redelivered
	Impatient  bool // a peer that leaves a message unfinished is dropped within a second or two
	Limit      int  // longer messages than this are refused; 0 if any length is good

	// Short has replies of a few kilobytes at most, as where one is a datagram, and
	// Lossy loses what it has no room for, which is then its own to test.
	Short, Lossy bool
}

// Peer sends messages to a transport. Its methods give up after Patience. One
// goroutine may send while another receives.
type Peer interface {
	// Send sends messages. Their bodies are letters, digits and hyphens.
	Send(bodies ...[]byte) error

	// Receive returns the next reply, or an error if there will be none. It is
	// not called if the transport has no replies.
	Receive() ([]byte, error)

	Close() error
}

// A Peer on a stream of bytes may have these as well; parts of the suite need
// them.
type (
	writer     interface{ Write([]byte) (int, error) } // bytes without framing
	halfCloser interface{ CloseWrite() error }         // no more messages, but replies

	// beginner knows bytes that begin a message which a hundred zeros do not end.
	beginner interface {
		writer
		Unfinished() []byte
	}
)

// Run tests a transport.
func Run(t *testing.T, h Harness) {
	warmUp(t)
	for _, part := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"every message once", everyMessageOnce},
		{"bodies last until settled", bodiesLast},
		{"reply after settling", replyAfterSettling},
		{"replies in order", repliesInOrder},
		{"large replies", largeReplies},
		{"failed message is answered", failedMessage},
		{"peers do not wait for each other", peersApart},

		{"back-pressure", backPressure},
		{"message too long", tooLong},
		{"garbage", garbage},
		{"silent peers", silentPeers},
		{"peers that vanish", vanishingPeers},
		{"half-closed peer", halfClosedPeer},
		{"peer that takes no replies", slowPeer},
		{"peer that ends no message", unfinishedMessage},
		{"peers that come and go", comeAndGo},

		{"message given back", givenBack},
		{"drain", drain},
		{"drain of peers that vanished", drainVanished},
		{"stop under load", stopUnderLoad},
		{"stop with a full queue", stopWithFullQueue},
		{"close with messages under way", closeBusy},
		{"close at any time", closeAnyTime},

		{"redelivery", redelivery},
		{"reconnect", reconnect},
		{"stop without a connection", stopWithoutConnection},

		{"reload of the same", reloadSame},
		{"reload to another address", reloadAddress},
		{"reload aborted", reloadAborted},
		{"reload that fails", reloadFails},
		{"reload under load", reloadUnderLoad},
		{"reload without serving", reloadWithoutServing},

		{"retire with peers", retireWithPeers},
		{"retire before a peer has sent anything", retireSilentPeers},
		{"retire with messages under way", retireBusy},
		{"retire and drain", retireAndDrain},
		{"retire and close", retireAndClose},
		{"retire at any time", retireAnyTime},
		{"retire while reloading", retireWhileReloading},
		{"handovers under load", handoversUnderLoad},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, h) })
	}
}

// needs skips a part that a transport can't pass.
func needs(t *testing.T, has bool, what string) {
	t.Helper()
	if !has {
		t.Skipf("the transport has no %s", what)
	}
}

// service is a transport under test.
type service struct {
	transport.Transport
	t *testing.T
	h Harness

	configuration transport.Config // that it was made with

	*Serving // nil before it serves

	mu        sync.Mutex
	listeners []net.Listener // from Env.Listen
	listenErr error          // what Env.Listen is to fail with
	shared    net.Listener   // what Env.Listen is to return once
}

// newService makes a transport that does not serve yet. When the test ends it
// is closed, and has to leave nothing behind.
func newService(t *testing.T, h Harness) *service {
	t.Helper()
	return newServiceOn(t, h, h.Config(), nil)
}

// newServiceOn makes a transport that gets the listener l, unless that is nil.
func newServiceOn(t *testing.T, h Harness, c transport.Config, l net.Listener) *service {
	t.Helper()
	s := &service{t: t, h: h, configuration: c, shared: l}
	t.Cleanup(func() { runtime.KeepAlive(s) }) // what leaks is not collected before it is counted
	checkLeaks(t)
	tr, err := c.New(transport.Env{
		Log:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Listen: s.listen,

		ListenPacket: net.ListenPacket,
		StateDir:     t.TempDir(),
	})
	if err != nil {
		t.Fatal("new:", err)
	}
	s.Transport = tr
	t.Cleanup(s.close)
	return s
}

// start makes a transport that serves.
func start(t *testing.T, h Harness, queue transport.Queue) *service {
	t.Helper()
	return startWith(t, h, h.Config(), queue)
}

// startWith makes a transport that serves, with a configuration that another may
// have had.
func startWith(t *testing.T, h Harness, c transport.Config, queue transport.Queue) *service {
	t.Helper()
	s := newServiceOn(t, h, c, nil)
	s.serve(queue)
	return s
}

func (s *service) serve(queue transport.Queue) { s.Serving = begin(s.t, s.Transport, queue) }

func (s *service) listen(network, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listenErr != nil {
		return nil, s.listenErr
	}
	l, err := s.shared, error(nil)
	s.shared = nil
	if l == nil {
		l, err = net.Listen(network, address)
	}
	if unix, ok := l.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // another may share it
	}
	if err == nil {
		s.listeners = append(s.listeners, l)
	}
	return l, err
}

func (s *service) close() {
	if err := s.Close(); err != nil {
		s.t.Error("close:", err)
	}
	if s.Serving != nil {
		s.Wait()
		s.Cancel()
	}
}

// dial connects a peer to the transport, for as long as the test takes.
func (s *service) dial() Peer {
	s.t.Helper()
	return s.dialAt(s.h.Address(s.Transport))
}

func (s *service) dialAt(address string) Peer {
	s.t.Helper()
	p, err := s.h.Dial(address)
	if err != nil {
		s.t.Fatal("dial:", err)
	}
	s.t.Cleanup(func() { _ = p.Close() })
	return p
}

// reload prepares a change.
func (s *service) reload(to transport.Config) transport.Change {
	s.t.Helper()
	change, err := s.Reload(to)
	if err != nil {
		s.t.Fatal("reload:", err)
	}
	return change
}

// isTimeout reports that a peer gave up, rather than being told of an end.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}
