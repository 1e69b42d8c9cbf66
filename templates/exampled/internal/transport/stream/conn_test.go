package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

// pipes is a listener whose connections are in memory, so that their time can
// be the one of a bubble. Nothing is buffered on them: what is written is being
// read.
type pipes struct {
	waiting chan net.Conn
	once    sync.Once
	closed  chan struct{}
	writes  atomic.Int64 // by the transport
}

func newPipes() *pipes {
	return &pipes{waiting: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) listen(string, string) (net.Listener, error) { return p, nil }
func (p *pipes) Addr() net.Addr                              { return &net.TCPAddr{} }

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-p.waiting:
		return nc, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.waiting <- countingConn{far, &p.writes}
	return near
}

type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// ends returns when nc ends, with the time since begin.
func ends(t *testing.T, nc net.Conn, begin time.Time) time.Duration {
	t.Helper()
	if n, err := nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("read %d bytes, %v, want the end", n, err)
	}
	return time.Since(begin)
}

// bubble runs a test of a transport whose time passes as fast as it can.
func bubble(t *testing.T, c *section, test func(t *testing.T, s *server, p *pipes, q transporttest.Queue)) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newPipes(), make(transporttest.Queue, 100)
		test(t, serveOn(t, c, q, p.listen), p, q)
	})
}

func TestIdle(t *testing.T) {
	c := testConfig()
	c.IdleTimeout, c.ReadTimeout = config.Duration(5*time.Minute), config.Duration(time.Hour)
	for _, test := range []struct {
		name string
		peer func(t *testing.T, nc net.Conn, q transporttest.Queue)
		want time.Duration
	}{
		{"silent", func(*testing.T, net.Conn, transporttest.Queue) {}, 5 * time.Minute},
		{"a message", func(t *testing.T, nc net.Conn, q transporttest.Queue) {
			time.Sleep(4 * time.Minute)
			write(t, nc, "one\n")
			transporttest.Answer(q.Take(t))
			read(t, nc, 4)
		}, 9 * time.Minute},
		{"a message under way for long", func(t *testing.T, nc net.Conn, q transporttest.Queue) {
			time.Sleep(time.Minute)
			write(t, nc, "one\n")
			m := q.Take(t)
			time.Sleep(time.Hour)
			transporttest.Answer(m)
			read(t, nc, 4)
		}, time.Hour + 6*time.Minute},
		{"a line that does not end", func(t *testing.T, nc net.Conn, _ transporttest.Queue) {
			for range 4 {
				write(t, nc, "x")
				time.Sleep(time.Minute)
			}
		}, 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, c, func(t *testing.T, _ *server, p *pipes, q transporttest.Queue) {
				begin := time.Now()
				nc := p.dial()
				test.peer(t, nc, q)
				if got := ends(t, nc, begin); got != test.want {
					t.Errorf("closed after %s, want %s", got, test.want)
				}
			})
		})
	}
	t.Run("none", func(t *testing.T) {
		c := *c
		c.IdleTimeout = 0
		bubble(t, &c, func(t *testing.T, _ *server, p *pipes, q transporttest.Queue) {
			nc := p.dial()
			time.Sleep(1000 * time.Hour)
			write(t, nc, "one\n")
			transporttest.Answer(q.Take(t))
			read(t, nc, 4)
		})
	})
}

// A message has to be complete in time however fast its bytes come, but is not
// blamed for the time in which nobody reads.
func TestReadTimeout(t *testing.T) {
	c := testConfig()
	c.IdleTimeout, c.ReadTimeout = config.Duration(10*time.Minute), config.Duration(time.Minute)
	c.Pipeline = 1
	for _, test := range []struct {
		name string
		peer func(t *testing.T, nc net.Conn, q transporttest.Queue)
		want time.Duration
	}{
		{"byte by byte", func(t *testing.T, nc net.Conn, _ transporttest.Queue) {
			time.Sleep(time.Minute)
			for range 6 {
				write(t, nc, "x")
				time.Sleep(9 * time.Second)
			}
		}, 2 * time.Minute},
		{"after others", func(t *testing.T, nc net.Conn, q transporttest.Queue) {
			for range 5 {
				write(t, nc, "on")
				time.Sleep(50 * time.Second)
				write(t, nc, "e\n")
				transporttest.Answer(q.Take(t))
				read(t, nc, 4)
			}
			write(t, nc, "x")
		}, 5*50*time.Second + time.Minute},
		{"behind others", func(t *testing.T, nc net.Conn, q transporttest.Queue) {
			write(t, nc, "one\ntwo\nthr")
			for range 2 {
				m := q.Take(t)
				time.Sleep(time.Hour)
				transporttest.Answer(m)
				read(t, nc, 4)
			}
		}, 2*time.Hour + time.Minute},
		{"no message", func(*testing.T, net.Conn, transporttest.Queue) {}, 10 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, c, func(t *testing.T, s *server, p *pipes, q transporttest.Queue) {
				begin := time.Now()
				nc := p.dial()
				test.peer(t, nc, q)
				if got := ends(t, nc, begin); got != test.want {
					t.Errorf("closed after %s, want %s", got, test.want)
				}
				synctest.Wait()
				if got, want := s.journal.Count("not complete within read_timeout"), 1; got != want && test.name != "no message" {
					t.Errorf("logged %d times", got)
				}
			})
		})
	}
}

func TestWriteTimeout(t *testing.T) {
	c := testConfig()
	c.WriteTimeout = config.Duration(time.Minute)
	bubble(t, c, func(t *testing.T, s *server, p *pipes, q transporttest.Queue) {
		nc := p.dial()
		write(t, nc, "one\ntwo\n")
		first, second := q.Take(t), q.Take(t)
		transporttest.Answer(first)

		// A byte now and then is enough.
		var got []byte
		for range 4 {
			time.Sleep(50 * time.Second)
			got = append(got, read(t, nc, 1)...)
		}
		if string(got) != "one\n" {
			t.Errorf("reply %q", got)
		}
		transporttest.Answer(second)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if !strings.Contains(s.Status(), "1 connection,") {
			t.Errorf("too early: %s", s.Status())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !strings.Contains(s.Status(), "0 connections,") {
			t.Errorf("not dropped: %s", s.Status())
		}
		if n := s.journal.Count("peer took no reply"); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

// It is the same with TLS, where a write can't be taken up again: a peer that takes
// a large reply bit by bit gets all of it.
func TestWriteTimeoutWithTLS(t *testing.T) {
	host := httptest.NewTLSServer(nil) // it has a certificate
	trust := host.Client().Transport.(*http.Transport).TLSClientConfig
	certificates := host.TLS.Certificates
	host.Close()
	c := testConfig()
	c.WriteTimeout = config.Duration(time.Minute)
	c.change = func(e *Endpoint) {
		e.Wrap = func(nc net.Conn) net.Conn { return tls.Server(nc, &tls.Config{Certificates: certificates}) }
	}
	bubble(t, c, func(t *testing.T, _ *server, p *pipes, q transporttest.Queue) {
		time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))) // the certificate holds
		nc := tls.Client(p.dial(), &tls.Config{RootCAs: trust.RootCAs, ServerName: "example.com"})
		defer func() { _ = nc.Close() }()
		write(t, nc, "one\n")
		reply := strings.Repeat("x", 256<<10)
		q.Take(t).Settle([]byte(reply), nil)
		for rest := reply + "\n"; rest != ""; {
			time.Sleep(50 * time.Second)
			part := rest[:min(len(rest), 16<<10)]
			if got := read(t, nc, len(part)); got != part {
				t.Fatalf("%d bytes are missing, and came out as %.20q…", len(rest), got)
			}
			rest = rest[len(part):]
		}
	})
}

// All replies that are ready go with one write.
func TestOneWrite(t *testing.T) {
	bubble(t, testConfig(), func(t *testing.T, _ *server, p *pipes, q transporttest.Queue) {
		nc := p.dial()
		write(t, nc, strings.Repeat("x\n", 10))
		var taken []transport.Message
		for range 10 {
			taken = append(taken, q.Take(t))
		}
		for i := range taken {
			transporttest.Answer(taken[9-i])
		}
		read(t, nc, 20)
		if n := p.writes.Load(); n != 1 {
			t.Errorf("%d writes", n)
		}
	})
}

// batches counts how messages come.
type batches struct{ sizes chan int }

func (b batches) Submit(_ context.Context, messages []transport.Message) (int, error) {
	b.sizes <- len(messages)
	for _, m := range messages {
		transporttest.Answer(m)
	}
	return len(messages), nil
}

// All lines of one read go to the queue in one go, as far as the pipeline
// allows.
func TestOneSubmit(t *testing.T) {
	c := testConfig()
	c.Pipeline = 7
	synctest.Test(t, func(t *testing.T) {
		p, b := newPipes(), batches{make(chan int, 10)}
		serveOn(t, c, b, p.listen)
		nc := p.dial()
		write(t, nc, strings.Repeat("x\n", 5))
		read(t, nc, 10)
		write(t, nc, strings.Repeat("x\n", 9))
		read(t, nc, 18)
		for i, want := range []int{5, 7, 2} {
			if got := <-b.sizes; got != want {
				t.Errorf("batch %d of %d, want %d", i, got, want)
			}
		}
	})
}
