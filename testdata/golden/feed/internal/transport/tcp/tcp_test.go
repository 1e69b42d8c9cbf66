package tcp

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/transport"
	"example.com/feed/internal/transport/stream"
	"example.com/feed/internal/transport/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, harness(testConfig, func(nc net.Conn) net.Conn { return nc }))
}

func TestConformanceTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "localhost")
	client := ca.client("localhost")
	transporttest.Run(t, harness(func() *Config {
		c := testConfig()
		c.Cert, c.Key = cert, key
		return c
	}, func(nc net.Conn) net.Conn { return tls.Client(nc, client) }))
}

// harness is for transports with such a configuration, and peers on connections
// that wrap has made of TCP.
func harness(newConfig func() *Config, wrap func(net.Conn) net.Conn) transporttest.Harness {
	var configs atomic.Int64
	return transporttest.Harness{
		Config: func() transport.Config {
			c := newConfig()
			// Port 0 as a text of its own: each is another address.
			c.Listen = "127.0.0.1:" + strings.Repeat("0", int(configs.Add(1)))
			return c
		},
		Address: func(tr transport.Transport) string { return tr.(*stream.Transport).Addr().String() },
		Dial: func(address string) (transporttest.Peer, error) {
			nc, err := net.DialTimeout("tcp", address, transporttest.Patience)
			if err != nil {
				return nil, err
			}
			return transporttest.Lines(wrap(nc)), nil
		},
		Replies:   true,
		Ordered:   true,
		Ends:      true,
		Listens:   true,
		Impatient: true,
		Limit:     int(testConfig().MaxMessage),
	}
}

// testConfig is a section for tests, at a free port.
func testConfig() *Config {
	c := Default().(*Config)
	c.Listen = "127.0.0.1:0"
	c.MaxMessage = 16 << 10
	c.ReadTimeout = config.Duration(3 * time.Second)
	c.WriteTimeout = config.Duration(3 * time.Second)
	return c
}

// serve starts a transport that answers by itself, until the test ends.
func serve(t *testing.T, c *Config) *stream.Transport {
	t.Helper()
	tr, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Listen: net.Listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transporttest.Serve(t, tr, new(transporttest.Echo)).Stop)
	return tr.(*stream.Transport)
}

// dial connects to the transport, for as long as the test takes.
func dial(t *testing.T, tr *stream.Transport) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", tr.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(transporttest.Patience)); err != nil {
		t.Fatal(err)
	}
	return nc
}

// echoes checks that a peer is served.
func echoes(t *testing.T, nc net.Conn) {
	t.Helper()
	if _, err := io.WriteString(nc, "in\n"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(nc, got); err != nil || string(got) != "in\n" {
		t.Fatalf("reply %q, %v", got, err)
	}
}

// ends checks that a connection ends, before it has a reply.
func ends(t *testing.T, nc net.Conn) {
	t.Helper()
	n, err := nc.Read(make([]byte, 1))
	if timeout := net.Error(nil); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("read %d bytes, %v, want the end", n, err)
	}
}

// hasStatus waits until the status has a text in it.
func hasStatus(t *testing.T, tr *stream.Transport, want string) {
	t.Helper()
	for deadline := time.Now().Add(transporttest.Patience); !strings.Contains(tr.Status(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("status %q, want %q in it", tr.Status(), want)
		}
	}
}

// reload changes the configuration of a transport.
func reload(t *testing.T, tr *stream.Transport, c *Config) {
	t.Helper()
	change, err := tr.Reload(c)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
}

func TestAllow(t *testing.T) {
	c := testConfig()
	tr := serve(t, c)
	here := dial(t, tr)
	echoes(t, here)
	for _, test := range []struct {
		allow   []string
		refused string
	}{
		{[]string{"192.0.2.0/24", "127.0.0.1"}, ""},
		{[]string{"127.0.0.0/8"}, ""},
		{[]string{"0.0.0.0/0"}, ""},
		{[]string{"127.0.0.2", "192.0.2.1"}, "1 not allowed"},
		{[]string{"::/0"}, "2 not allowed"},
	} {
		next := *c
		next.Allow = test.allow
		reload(t, tr, &next)
		nc := dial(t, tr)
		if test.refused == "" {
			echoes(t, nc)
			continue
		}
		ends(t, nc)
		hasStatus(t, tr, test.refused)
	}
	echoes(t, here) // who is in already is not asked again
	reload(t, tr, c)
	echoes(t, dial(t, tr))
}
