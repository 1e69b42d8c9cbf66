package stream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/transport"
	"example.com/feed/internal/transport/transporttest"
)

func TestConformance(t *testing.T) {
	var configs atomic.Int64
	transporttest.Run(t, transporttest.Harness{
		Config: func() transport.Config {
			c := testConfig()
			c.Framing = FramingLength
			// Port 0 as a text of its own: each is another address.
			c.listen = "127.0.0.1:" + strings.Repeat("0", int(configs.Add(1)))
			return c
		},
		Address: func(tr transport.Transport) string { return tr.(*Transport).Addr().String() },
		Dial: func(address string) (transporttest.Peer, error) {
			nc, err := net.DialTimeout("tcp", address, transporttest.Patience)
			if err != nil {
				return nil, err
			}
			return transporttest.Lengths(nc), nil
		},
		Replies:   true,
		Ordered:   true,
		Ends:      true,
		Listens:   true,
		Impatient: true,
		Limit:     int(testConfig().MaxMessage),
	})
}

// section is the section of a transport on TCP, with an endpoint that a test can
// change.
type section struct {
	Settings
	listen string
	change func(*Endpoint)
}

func (c *section) Listens() []transport.Address { return nil }
func (c *section) Stream() Settings             { return c.Settings }

func (c *section) New(env transport.Env) (transport.Transport, error) {
	t, err := New(c, env)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (c *section) Endpoint() (*Endpoint, error) {
	e := &Endpoint{Name: "test", Network: "tcp", Address: c.listen, Key: "listen"}
	if c.change != nil {
		c.change(e)
	}
	return e, nil
}

// testConfig is a section for tests, at a free port.
func testConfig() *section {
	c := &section{Settings: DefaultSettings(), listen: "127.0.0.1:0"}
	c.MaxMessage = 16 << 10
	c.ReadTimeout = config.Duration(3 * time.Second)
	c.WriteTimeout = config.Duration(3 * time.Second)
	return c
}

// server is a transport that serves until the test ends.
type server struct {
	*Transport
	*transporttest.Serving
	t       *testing.T
	journal transporttest.Journal
}

func serve(t *testing.T, c *section, queue transport.Queue) *server {
	t.Helper()
	return serveOn(t, c, queue, net.Listen)
}

func serveOn(t *testing.T, c *section, queue transport.Queue, listen func(network, address string) (net.Listener, error)) *server {
	t.Helper()
	s := &server{t: t}
	tr, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(&s.journal, nil)), Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	s.Transport = tr.(*Transport)
	s.Serving = transporttest.Serve(t, s.Transport, queue)
	// A peer can connect before, but nobody accepts it.
	transporttest.Poll(t, "serving", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.state > bound
	})
	return s
}

func (s *server) dial() *net.TCPConn {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(transporttest.Patience)); err != nil {
		s.t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

func write(t *testing.T, nc net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(nc, text); err != nil {
		t.Fatal(err)
	}
}

// read reads so many bytes from nc, or all until its end.
func read(t *testing.T, nc net.Conn, n int) string {
	t.Helper()
	var got []byte
	var err error
	if n < 0 {
		got, err = io.ReadAll(nc)
	} else {
		got = make([]byte, n)
		_, err = io.ReadFull(nc, got)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestFraming(t *testing.T) {
	for _, test := range []struct{ name, send, want, log string }{
		{"lines", "one\ntwo\n", "<one>\n<two>\n", ""},
		{"line ends", "one\r\n\n\r\n0\n", "<one>\n<>\n<>\n<0>\n", ""},
		{"no line", "", "", ""},
		{"last line without an end", "one\ntw", "<one>\n", "level=INFO msg=\"last message without an end not taken\""},
		{"line too long", "one\n" + strings.Repeat("x", 40000) + "\ntwo\n", "<one>\n", "level=WARN msg=\"connection closed, message longer than max_message\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := make(transporttest.Queue, 10)
			s := serve(t, testConfig(), q)
			nc := s.dial()
			write(t, nc, test.send)
			if err := nc.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for range strings.Count(test.want, "\n") {
				m := q.Take(t)
				m.Settle(fmt.Appendf(nil, "<%s>", m.Body()), nil)
			}
			if got := read(t, nc, -1); got != test.want {
				t.Errorf("replies %q, want %q", got, test.want)
			}
			s.Cancel()
			s.Wait()
			if got, want := s.Status(), "closed, 0 connections, 0 refused"; got != want {
				t.Errorf("status %q, want %q", got, want)
			}
			if len(q) > 0 {
				t.Errorf("%d messages too many", len(q))
			}
			if got := s.journal.Count("peer="); got != strings.Count(test.log, "msg=") || s.journal.Count(test.log) == 0 {
				t.Errorf("logged %s", s.journal.String())
			}
		})
	}
}

func TestReplyOfSeveralLines(t *testing.T) {
	q := make(transporttest.Queue, 3)
	s := serve(t, testConfig(), q)
	nc := s.dial()
	write(t, nc, "1\n2\n3\n")
	for range 3 {
		q.Take(t).Settle([]byte("a\nb\n"), nil)
	}
	if got := read(t, nc, 12); got != "a b\na b\na b\n" {
		t.Errorf("replies %q", got)
	}
	transporttest.Poll(t, "the log", func() bool { return s.journal.Count("became spaces") == 1 })
}

// What is read but not handed over, or not even read, does not keep the replies
// to what was handed over from arriving: the connection is not reset.
func TestStopWithUnreadInput(t *testing.T) {
	c := testConfig()
	c.Pipeline = 3
	q := make(transporttest.Queue, 10)
	s := serve(t, c, q)
	nc := s.dial()
	write(t, nc, strings.Repeat(strings.Repeat("x", 1000)+"\n", 100))
	var taken []transport.Message
	for range c.Pipeline {
		taken = append(taken, q.Take(t))
	}
	s.Cancel()
	transporttest.Poll(t, "the stop", func() bool { return strings.HasPrefix(s.Status(), "stopping") })
	for _, m := range taken {
		m.Settle([]byte("done"), nil)
	}
	if got := read(t, nc, -1); got != "done\ndone\ndone\n" {
		t.Errorf("replies %q", got)
	}
	_ = nc.Close()
	s.Wait()
}

// A peer that takes no replies keeps nobody busy but a goroutine of its own, for
// as long as write_timeout lets it.
func TestWaitingPeerHoldsNoWorker(t *testing.T) {
	const peers = 4
	c := testConfig()
	c.WriteTimeout = config.Duration(time.Hour)
	q := make(transporttest.Queue)
	s := serve(t, c, q)
	var working sync.WaitGroup
	reply := bytes.Repeat([]byte("x"), 16<<20) // more than the system buffers
	working.Go(func() {                        // the only worker
		for m := range q {
			if string(m.Body()) == "flood" {
				m.Settle(reply, nil)
			} else {
				transporttest.Answer(m)
			}
		}
	})
	t.Cleanup(func() {
		_ = s.Close()
		s.Wait()
		close(q)
		working.Wait()
	})
	for range peers {
		write(t, s.dial(), "flood\n")
	}
	nc := s.dial()
	for range peers {
		write(t, nc, "in\n")
		read(t, nc, 3)
	}
}

func TestTooManyConnections(t *testing.T) {
	c := testConfig()
	c.MaxConnections = 2
	s := serve(t, c, new(transporttest.Echo))
	var open []net.Conn
	for range c.MaxConnections {
		nc := s.dial()
		write(t, nc, "in\n")
		read(t, nc, 3)
		open = append(open, nc)
	}
	for range 3 {
		if got := read(t, s.dial(), -1); got != "" {
			t.Errorf("a connection above the limit got %q", got)
		}
	}
	if got, want := s.Status(), fmt.Sprintf("listening on %s, 2 connections, 3 refused", s.Addr()); got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	if n := s.journal.Count("max_connections are open"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	_ = open[0].Close()
	transporttest.Poll(t, "room", func() bool { return strings.Contains(s.Status(), "1 connection,") })
	nc := s.dial()
	write(t, nc, "in\n")
	read(t, nc, 3)
	write(t, open[1], "still\n")
	read(t, open[1], 6)
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, test := range []struct {
		listen string
		cause  error
	}{
		{taken.Addr().String(), syscall.EADDRINUSE},
		{"192.0.2.1:7000", syscall.EADDRNOTAVAIL}, // from RFC 5737: nobody has it
	} {
		c := testConfig()
		c.listen = test.listen
		tr, err := c.New(transport.Env{Log: slog.New(slog.DiscardHandler), Listen: net.Listen})
		if want := fmt.Sprintf("listen = %q: %s", test.listen, test.cause); err == nil || err.Error() != want || !errors.Is(err, test.cause) {
			t.Errorf("got %v, want %s", err, want)
		}
		if tr != nil {
			t.Error("a transport in spite of the error")
		}
	}
}

// brokenListener fails to accept for some time.
type brokenListener struct {
	net.Listener
	failures atomic.Int64
	err      error
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Err: l.err}
	}
	return l.Listener.Accept()
}

func TestAcceptErrors(t *testing.T) {
	listen := func(failure error) func(network, address string) (net.Listener, error) {
		return func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			broken := &brokenListener{Listener: l, err: failure}
			broken.failures.Store(4)
			return broken, err
		}
	}
	t.Run("no descriptors", func(t *testing.T) {
		s := serveOn(t, testConfig(), new(transporttest.Echo), listen(syscall.EMFILE))
		nc := s.dial()
		write(t, nc, "in\n")
		read(t, nc, 3)
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

func TestStatus(t *testing.T) {
	tr, err := testConfig().New(transport.Env{Log: slog.New(slog.DiscardHandler), Listen: net.Listen})
	if err != nil {
		t.Fatal(err)
	}
	addr := tr.(*Transport).Addr()
	if got, want := tr.Status(), fmt.Sprintf("listening on %s, 0 connections, 0 refused", addr); got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if got, want := tr.Status(), "closed, 0 connections, 0 refused"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	if addr := tr.(*Transport).Addr(); addr != nil {
		t.Errorf("address %v after the end", addr)
	}
}
