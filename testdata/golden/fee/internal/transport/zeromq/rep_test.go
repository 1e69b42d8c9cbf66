package zeromq

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/fee/internal/config"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/transporttest"
)

// frames makes frames of texts that are separated by bars.
func frames(text string) (all [][]byte) {
	for part := range strings.SplitSeq(text, "|") {
		all = append(all, []byte(part))
	}
	return all
}

func text(all [][]byte) string {
	var parts []string
	for _, frame := range all {
		parts = append(parts, string(frame))
	}
	return strings.Join(parts, "|")
}

// A reply has the envelope of its request, however many frames that has: those of
// a REQ, of a DEALER, and of proxies in between.
func TestEnvelope(t *testing.T) {
	s := serve(t, testConfig(), new(transporttest.Echo))
	p := s.dial(peerOptions("DEALER"))
	for _, request := range []string{
		"|one", "|", "id|", "a|b|c||one", strings.Repeat("hop|", 50) + "|one",
	} {
		if request == "id|" {
			continue // see TestMalformed
		}
		if err := p.sendFrames(frames(request)...); err != nil {
			t.Fatal(err)
		}
		got, err := p.receiveFrames()
		if err != nil || text(got) != request {
			t.Errorf("%q is answered %q, %v", request, text(got), err)
		}
	}
}

// What a REQ could not have sent is counted, logged once, and left alone: ZeroMQ
// does the same, and other requests may be on the same connection, from behind a
// proxy.
func TestMalformed(t *testing.T) {
	s := serve(t, testConfig(), new(transporttest.Echo))
	p := s.dial(peerOptions("DEALER"))
	for _, request := range []string{"one", "one|two", "id|", ""} {
		if err := p.sendFrames(frames(request)...); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.ask(t, "good"); got != "good" {
		t.Errorf("replied %q", got)
	}
	if got := s.Status(); !strings.HasSuffix(got, ", 4 malformed") {
		t.Errorf("status %q", got)
	}
	if n := s.journal.Count("it is no request"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// Requests of one DEALER are handled side by side, and answered when each is done.
func TestConcurrentRequests(t *testing.T) {
	q := make(transporttest.Queue, 3)
	s := serve(t, testConfig(), q)
	p := s.dial(peerOptions("DEALER"))
	if err := p.Send([]byte("1"), []byte("2"), []byte("3")); err != nil {
		t.Fatal(err)
	}
	one, two, three := q.Take(t), q.Take(t), q.Take(t)
	for _, m := range []transport.Message{three, one, two} {
		transporttest.Answer(m)
		if got, err := p.Receive(); err != nil || string(got) != string(m.Body()) {
			t.Errorf("%q is answered %q, %v", m.Body(), got, err)
		}
	}
}

// Pitfall 66: no more than pipeline messages of a connection are under way, and a
// reload changes how many that is.
func TestPipeline(t *testing.T) {
	c := testConfig()
	c.Pipeline = 2
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	p := s.dial(peerOptions("DEALER"))
	if err := p.Send([]byte("1"), []byte("2"), []byte("3"), []byte("4")); err != nil {
		t.Fatal(err)
	}
	taken := []transport.Message{q.Take(t), q.Take(t)}
	other := s.dial(peerOptions("DEALER"))
	if err := other.Send([]byte("5")); err != nil {
		t.Fatal(err)
	}
	if m := q.Take(t); string(m.Body()) != "5" {
		t.Errorf("%q is under way as a third", m.Body())
	}
	reload(t, s, func(c *Config) { c.Pipeline = 3 })
	taken = append(taken, q.Take(t))
	transporttest.Answer(taken[0])
	if m := q.Take(t); string(m.Body()) != "4" {
		t.Errorf("took %q", m.Body())
	}
}

func TestMultipart(t *testing.T) {
	for multipart, want := range map[string]string{join: "a, b, c", last: "c", refuse: ""} {
		t.Run(multipart, func(t *testing.T) {
			c := testConfig()
			c.Multipart, c.Separator = multipart, ", "
			s := serve(t, c, new(transporttest.Echo))
			p := s.dial(peerOptions("DEALER"))
			if err := p.sendFrames(frames("|a|b|c")...); err != nil {
				t.Fatal(err)
			}
			if want == "" {
				p.ends(t) // so that who waits for an answer comes to know
				transporttest.Poll(t, "the log", func() bool { return s.journal.Count("body of several frames") == 1 })
				return
			}
			if got, err := p.Receive(); err != nil || string(got) != want {
				t.Errorf("answered %q, %v, want %q", got, err, want)
			}
		})
	}
}

// A request that was given back has no answer: the connection ends instead, but
// not before the others on it are answered.
func TestGivenBack(t *testing.T) {
	q := make(transporttest.Queue, 2)
	s := serve(t, testConfig(), q)
	p := s.dial(peerOptions("DEALER"))
	if err := p.Send([]byte("1"), []byte("2")); err != nil {
		t.Fatal(err)
	}
	one, two := q.Take(t), q.Take(t)
	one.Settle(nil, transport.ErrStopped)
	two.Settle([]byte("done"), nil)
	if got, err := p.Receive(); err != nil || string(got) != "done" {
		t.Errorf("received %q, %v", got, err)
	}
	p.ends(t)
}

// What is read but not handed over, or not even read, when the service stops does
// not keep the replies to what was handed over from arriving: the connection is not
// reset.
func TestStopWithUnreadInput(t *testing.T) {
	c := testConfig()
	c.Pipeline = 3
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	p := s.dial(peerOptions("DEALER"))
	for range 100 {
		if err := p.Send(bytes.Repeat([]byte("x"), 1000)); err != nil {
			t.Fatal(err)
		}
	}
	var taken []transport.Message
	for range c.Pipeline {
		taken = append(taken, q.Take(t))
	}
	s.Cancel()
	transporttest.Poll(t, "the stop", func() bool { return strings.Contains(s.Status(), "stopping") })
	for _, m := range taken {
		m.Settle([]byte("done"), nil)
	}
	s.Wait() // also while nobody has fetched them
	for range taken {
		if got, err := p.Receive(); err != nil || string(got) != "done" {
			t.Fatalf("received %q, %v", got, err)
		}
	}
	if frames, err := p.receiveFrames(); !errors.Is(err, io.EOF) {
		t.Errorf("received %q, %v, want the end in good order", frames, err)
	}
}

// A message whose frames are too many, or too large together, ends the connection
// before it is there.
func TestTooLarge(t *testing.T) {
	c := testConfig()
	c.MaxMessage, c.MaxParts = 1000, 5
	for name, test := range map[string]struct {
		frames []string
		good   bool
	}{
		"as large as can be":   {[]string{"", strings.Repeat("x", 1000)}, true},
		"too large":            {[]string{"", strings.Repeat("x", 1001)}, false},
		"too large together":   {[]string{strings.Repeat("x", 600), "", strings.Repeat("x", 600)}, false},
		"as many as can be":    {[]string{"a", "b", "c", "", "x"}, true},
		"too many":             {[]string{"a", "b", "c", "d", "", "x"}, false},
		"too many empty ones":  {make([]string, 6), false},
		"too large by far":     {[]string{"", strings.Repeat("x", 1<<20)}, false},
		"too many in the body": {[]string{"", "a", "b", "c", "d", "e"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c, new(transporttest.Echo))
			p := s.dial(peerOptions("DEALER"))
			var message [][]byte
			for _, frame := range test.frames {
				message = append(message, []byte(frame))
			}
			if err := p.sendFrames(message...); err != nil {
				t.Fatal(err)
			}
			if !test.good {
				p.ends(t)
				transporttest.Poll(t, "the log", func() bool { return s.journal.Count("message too large") == 1 })
				return
			}
			if got, err := p.receiveFrames(); err != nil || len(got) != len(message) {
				t.Errorf("answered %q, %v", got, err)
			}
		})
	}
}

// Peers that announce much and send little cost what they send.
func TestAnnouncedSize(t *testing.T) {
	c := testConfig()
	c.MaxMessage = 1 << 30
	s := serve(t, c, new(transporttest.Echo))
	before := memory()
	for range 50 {
		p := s.dial(peerOptions("DEALER"))
		// More than the first buffer holds, so that another is needed.
		if _, err := p.Write(append([]byte{2, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff}, make([]byte, 5000)...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.dial(peerOptions("REQ")).ask(t, "good"); got != "good" {
		t.Errorf("replied %q", got)
	}
	if grown := memory() - before; grown > 4<<20 {
		t.Errorf("50 peers that sent 5 KB each cost %d bytes", grown)
	}
}

func TestMaxConnections(t *testing.T) {
	c := testConfig()
	c.MaxConnections = 2
	s := serve(t, c, new(transporttest.Echo))
	one, two := s.dial(peerOptions("REQ")), s.dial(peerOptions("REQ"))
	one.ask(t, "1")
	two.ask(t, "2")
	s.dial(peerOptions("REQ")).ends(t)
	if got := s.Status(); !strings.HasSuffix(got, ", 2 connections, 1 refused") {
		t.Errorf("status %q", got)
	}
	_ = one.Close()
	transporttest.Poll(t, "room", func() bool { return strings.Contains(s.Status(), "1 connection,") })
	s.dial(peerOptions("REQ")).ask(t, "3")
	if n := s.journal.Count("max_connections are open"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// brokenListener fails for a while before it accepts.
type brokenListener struct {
	*net.TCPListener
	failures int
	err      error
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.TCPListener.Accept()
}

// Without descriptors connections wait until there are some again.
func TestAcceptErrors(t *testing.T) {
	listen := func(err error) func(network, address string) (net.Listener, error) {
		return func(network, address string) (net.Listener, error) {
			l, listenErr := net.Listen(network, address)
			return &brokenListener{l.(*net.TCPListener), 4, err}, listenErr
		}
	}
	t.Run("no descriptors", func(t *testing.T) {
		s := serveOn(t, testConfig(), new(transporttest.Echo), listen(syscall.EMFILE))
		s.dial(peerOptions("REQ")).ask(t, "in")
		if n := s.journal.Count("connections have to wait"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
	t.Run("closed by somebody else", func(t *testing.T) {
		s := serveOn(t, testConfig(), new(transporttest.Echo), listen(net.ErrClosed))
		if err := s.Err(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// Messages of a connection have a key that those of another don't have.
func TestKey(t *testing.T) {
	q := make(transporttest.Queue, 3)
	s := serve(t, testConfig(), q)
	one, two := s.dial(peerOptions("DEALER")), s.dial(peerOptions("DEALER"))
	key := func(p *peer) string {
		if err := p.Send([]byte("x")); err != nil {
			t.Fatal(err)
		}
		m := q.Take(t).(transport.Keyed)
		if _, ok := m.Key("other"); ok {
			t.Error("a key of a kind that there is not")
		}
		key, ok := m.Key(byConnection)
		if !ok || !strings.HasPrefix(key, "zeromq ") {
			t.Errorf("key %q, %t", key, ok)
		}
		return key
	}
	if a, b, c := key(one), key(two), key(one); a != c || a == b {
		t.Errorf("keys %q, %q and again %q", a, b, c)
	}
}

// A peer that is silent after its handshake is asked for a sign of life, and gone
// when there is none.
func TestSilentPeer(t *testing.T) {
	c := testConfig()
	c.HeartbeatInterval, c.HeartbeatTimeout = config.Duration(5*time.Millisecond), config.Duration(50*time.Millisecond)
	s := serve(t, c, new(transporttest.Echo))
	p := s.dial(peerOptions("REQ"))
	if err := p.shake(); err != nil {
		t.Fatal(err)
	}
	got, err := drained(p.nc)
	if err != nil || !strings.Contains(string(got), "\x04\x07\x04PING\x00\x01") {
		t.Errorf("sent %q, %v", got, err)
	}
	transporttest.Poll(t, "the log", func() bool { return s.journal.Count("no sign of life") == 1 })
}

func TestStatus(t *testing.T) {
	s := serve(t, testConfig(), new(transporttest.Echo))
	want := fmt.Sprintf("rep, listening on tcp://%s, 0 connections, 0 refused", s.Addr())
	if got := s.Status(); got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	s.dial(peerOptions("REQ")).ask(t, "x")
	s.Retire()
	if got, want := s.Status(), "rep, no longer listening, 1 connection, 0 refused"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	if addr := s.Addr(); addr != nil {
		t.Errorf("address %v of a retired transport", addr)
	}
	s.Cancel()
	s.Wait()
	if got, want := s.Status(), "rep, closed, 0 connections, 0 refused"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
}
