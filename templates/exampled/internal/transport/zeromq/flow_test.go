package zeromq

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/nettest"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/zeromq/zmtp"
)

// reload changes the configuration of s.
func reload(t *testing.T, s *server, change func(*Config)) {
	t.Helper()
	next := *s.settings.Load()
	change(&next)
	prepared, err := s.Reload(&next)
	if err != nil {
		t.Fatal(err)
	}
	next = Config{} // the transport has its own
	prepared.Commit()
}

// publisher is a socket that binds: a PUB or PUSH.
type publisher struct {
	t       *testing.T
	options zmtp.Options
	l       net.Listener

	mu     sync.Mutex
	topics []string
}

func publish(t *testing.T, o zmtp.Options, where string) *publisher {
	t.Helper()
	l, err := net.Listen("tcp", where)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &publisher{t: t, options: o, l: l}
	p.options.OnSubscription = func(topic []byte, subscribe bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if subscribe {
			p.topics = append(p.topics, string(topic))
		} else {
			p.topics = slices.DeleteFunc(p.topics, func(s string) bool { return s == string(topic) })
		}
	}
	return p
}

func (p *publisher) text() string { return "tcp://" + p.l.Addr().String() }

// accept waits for a peer, and reads what it sends until it goes.
func (p *publisher) accept() *zmtp.Conn {
	p.t.Helper()
	if err := p.l.(*net.TCPListener).SetDeadline(time.Now().Add(transporttest.Patience)); err != nil {
		p.t.Fatal(err)
	}
	nc, err := p.l.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = nc.Close() })
	c, err := zmtp.Handshake(nc, p.options)
	if err != nil {
		p.t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			if _, _, err := c.Next(); err != nil {
				return
			}
			if c.Fill() != nil {
				return
			}
		}
	})
	p.t.Cleanup(func() {
		_ = c.Close()
		reading.Wait()
	})
	return c
}

// wants waits until the peer has subscribed to these topics.
func (p *publisher) wants(topics ...string) {
	p.t.Helper()
	transporttest.Poll(p.t, "the subscription to "+strings.Join(topics, ", "), func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		slices.Sort(p.topics)
		return slices.Equal(p.topics, topics)
	})
}

func (p *publisher) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics = nil
}

// A sub connects, asks for its topics, and does so again whenever it has lost the
// publisher. A reload changes what it asks for.
func TestSub(t *testing.T) {
	p := publish(t, peerOptions("PUB"), "127.0.0.1:0")
	c := testConfig()
	c.Pattern, c.Bind, c.Connect = sub, nil, []string{p.text()}
	c.Topics, c.Multipart = []string{"a", "b"}, last
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	for range 3 {
		peer := p.accept()
		p.wants("a", "b")
		peer.Send(nil, []byte("a"), []byte("body"))
		m := q.Take(t)
		if string(m.Body()) != "body" {
			t.Errorf("received %q", m.Body())
		}
		m.Settle([]byte("nobody gets this"), nil)
		_ = peer.Close()
		p.forget()
	}
	p.accept()
	p.wants("a", "b")
	reload(t, s, func(c *Config) { c.Topics = []string{"b", "c"} })
	p.wants("b", "c")
	transporttest.Poll(t, "the log", func() bool { return s.journal.Count("not connected, trying again") == 1 })
}

// A sub may bind as well, and ask those that come.
func TestSubBinds(t *testing.T) {
	c := testConfig()
	c.Pattern = sub
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	p := publish(t, peerOptions("PUB"), "127.0.0.1:0")
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	peer, err := zmtp.Handshake(nc, p.options)
	if err != nil {
		t.Fatal(err)
	}
	for len(p.topics) == 0 {
		if _, _, err := peer.Next(); err != nil {
			t.Fatal(err)
		}
		if len(p.topics) > 0 {
			break
		}
		if err := peer.Fill(); err != nil {
			t.Fatal(err)
		}
	}
	peer.Send(nil, []byte("body"))
	if m := q.Take(t); string(m.Body()) != "body" {
		t.Errorf("received %q", m.Body())
	} else {
		transporttest.Answer(m)
	}
	s.Cancel()
	s.Wait()
}

// A pull takes from those that it connects to and those that connect to it.
func TestPull(t *testing.T) {
	p := publish(t, peerOptions("PUSH"), "127.0.0.1:0")
	c := testConfig()
	c.Pattern, c.Connect = pull, []string{p.text()}
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	p.accept().Send(nil, []byte("one"))
	transporttest.Answer(q.Take(t))
	peer := s.dial(peerOptions("PUSH"))
	if err := peer.sendFrames([]byte("two")); err != nil {
		t.Fatal(err)
	}
	transporttest.Answer(q.Take(t))
	if got := s.Status(); !strings.Contains(got, "connected to 1 of 1, 2 connections") {
		t.Errorf("status %q", got)
	}

	// What is refused is counted, and the connection stays.
	if err := peer.sendFrames([]byte("a"), []byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := peer.sendFrames([]byte("three")); err != nil {
		t.Fatal(err)
	}
	m := q.Take(t)
	if string(m.Body()) != "three" || !strings.HasSuffix(s.Status(), "1 malformed") {
		t.Errorf("took %q, status %q", m.Body(), s.Status())
	}
	m.Settle(nil, transport.ErrStopped) // nobody can be told, but for the log

	// The address that a reload leaves out is left.
	reload(t, s, func(c *Config) { c.Connect = nil })
	transporttest.Poll(t, "the end of a connection", func() bool { return strings.Contains(s.Status(), ", 1 connection,") })
	s.Cancel()
	s.Wait()
	if n := s.journal.Count("messages lost"); n != 1 {
		t.Errorf("logged %d times that a message is lost", n)
	}
}

// Another peer at the place of the one that has gone is found, and the pauses
// before that are random parts of what they may be. Pitfalls 63, 64.
func TestReconnect(t *testing.T) {
	first := publish(t, peerOptions("PUSH"), nettest.FreeAddress(t))
	where := first.l.Addr().String()
	c := testConfig()
	c.Pattern, c.Bind, c.Connect = pull, nil, []string{first.text()}
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	_ = first.accept().Close()
	_ = first.l.Close()
	transporttest.Poll(t, "the loss", func() bool { return strings.Contains(s.Status(), "connected to 0 of 1") })
	second := publish(t, peerOptions("PUSH"), where)
	second.accept().Send(nil, []byte("one"))
	transporttest.Answer(q.Take(t))

	reload(t, s, func(c *Config) {
		c.Reconnect, c.ReconnectMax = config.Duration(time.Second), config.Duration(5*time.Second)
	})
	for failures, limit := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 1000: 5 * time.Second} {
		var sum time.Duration
		for range 1000 {
			pause := s.pause(failures)
			if pause <= 0 || pause > limit {
				t.Fatalf("a pause of %s after %d failures", pause, failures)
			}
			sum += pause
		}
		if mean := sum / 1000; mean < limit*2/5 || mean > limit*3/5 {
			t.Errorf("pauses of %s on average after %d failures, want half of %s", mean, failures, limit)
		}
	}
}

// Whoever does not listen, or says nothing, does not keep the service from
// stopping.
func TestStopWhileConnecting(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	c := testConfig()
	c.Pattern, c.Bind = sub, nil
	c.Connect = []string{"tcp://" + silent.Addr().String(), "tcp://127.0.0.1:1"}
	c.Reconnect, c.ReconnectMax = config.Duration(time.Hour), config.Duration(time.Hour)
	c.HandshakeTimeout = config.Duration(time.Hour)
	s := serve(t, c, make(transporttest.Queue))
	transporttest.Poll(t, "a failure", func() bool { return s.journal.Count("not connected") == 1 })
	s.Cancel()
	s.Wait()
}

// A rep that connects is a worker of the proxy there.
func TestRepConnects(t *testing.T) {
	p := publish(t, peerOptions("DEALER"), "127.0.0.1:0")
	c := testConfig()
	c.Bind, c.Connect = nil, []string{p.text()}
	q := make(transporttest.Queue, 10)
	serve(t, c, q)
	nc, err := p.l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	peer := &peer{nc: nc, options: peerOptions("DEALER"), sent: make(chan struct{}, 1)}
	peer.options.OnSent = func(int) {}
	if err := peer.shake(); err != nil {
		t.Fatal(err)
	}
	peer.zmtp.Send(nil, frames("client|proxy||one")...)
	m := q.Take(t)
	m.Settle([]byte("TRUE"), nil)
	if got, err := peer.receiveFrames(); err != nil || text(got) != "client|proxy||TRUE" {
		t.Errorf("received %q, %v", text(got), err)
	}
}

// Both mechanisms that ask who a peer is let in who says it rightly, and nobody
// else, and a reload changes who that is.
func TestMechanisms(t *testing.T) {
	server, client, stranger := zmtp.NewKey(), zmtp.NewKey(), zmtp.NewKey()
	with := func(m zmtp.Mechanism) zmtp.Options {
		o := peerOptions("REQ")
		o.Mechanism = m
		return o
	}
	t.Run(plain, func(t *testing.T) {
		c := testConfig()
		c.Mechanism, c.Username, c.Password = plain, "user", "password"
		s := serve(t, c, new(transporttest.Echo))
		s.dial(with(zmtp.PlainClient{Username: "user", Password: "password"})).ask(t, "in")
		s.dial(with(zmtp.PlainClient{Username: "user", Password: "other"})).ends(t)
		s.dial(with(zmtp.Null{})).ends(t)
		reload(t, s, func(c *Config) { c.Password = "other" })
		s.dial(with(zmtp.PlainClient{Username: "user", Password: "other"})).ask(t, "in")
		if n := s.journal.Count("password"); n > 1 { // "wrong username or password"
			t.Error("the log has the password")
		}
	})
	t.Run(curve, func(t *testing.T) {
		c := testConfig()
		c.Mechanism, c.SecretKey, c.ClientPublicKeys = curve, config.Secret(server.Text()), []string{client.Public().Text()}
		s := serve(t, c, new(transporttest.Echo))
		s.dial(with(zmtp.CurveClient{Secret: client, Server: server.Public()})).ask(t, "in")
		s.dial(with(zmtp.CurveClient{Secret: stranger, Server: server.Public()})).ends(t)
		s.dial(with(zmtp.CurveClient{Secret: client, Server: stranger.Public()})).ends(t)
		reload(t, s, func(c *Config) { c.ClientPublicKeys = []string{"*"} })
		s.dial(with(zmtp.CurveClient{Secret: stranger, Server: server.Public()})).ask(t, "in")
		if s.journal.Count(server.Text()) > 0 || s.journal.Count(server.Public().Text()) == 0 {
			t.Error("the log has the secret key, or lacks the public one")
		}
	})
	t.Run("as clients", func(t *testing.T) {
		for _, m := range []struct {
			ours   func(*Config)
			theirs zmtp.Mechanism
		}{
			{func(c *Config) { c.Mechanism, c.Username, c.Password = plain, "user", "password" }, zmtp.PlainServer{Username: "user", Password: "password"}},
			{func(c *Config) {
				c.Mechanism, c.SecretKey, c.ServerPublicKey = curve, config.Secret(client.Text()), server.Public().Text()
			}, zmtp.CurveServer{Secret: server, Accept: func(k zmtp.Key) bool { return k == client.Public() }}},
		} {
			o := peerOptions("PUSH")
			o.Mechanism = m.theirs
			p := publish(t, o, "127.0.0.1:0")
			c := testConfig()
			c.Pattern, c.Bind, c.Connect = pull, nil, []string{p.text()}
			m.ours(c)
			q := make(transporttest.Queue, 1)
			serve(t, c, q)
			p.accept().Send(nil, []byte("one"))
			transporttest.Answer(q.Take(t))
		}
	})
}
