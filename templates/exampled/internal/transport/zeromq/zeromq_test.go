package zeromq

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

func TestConformance(t *testing.T) {
	for name, config := range map[string]func(n int) *Config{
		"tcp": func(n int) *Config {
			c := testConfig()
			// Port 0 as a text of its own: each is another address.
			c.Bind = []string{"tcp://127.0.0.1:" + strings.Repeat("0", n)}
			return c
		},
		"ipc": func(int) *Config {
			c := testConfig()
			c.Bind = []string{socketFile(t)}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			var configs atomic.Int64
			transporttest.Run(t, transporttest.Harness{
				Config:  func() transport.Config { return config(int(configs.Add(1))) },
				Address: func(tr transport.Transport) string { return textOf(tr.(*Transport).Addr()) },
				Dial: func(text string) (transporttest.Peer, error) {
					a, err := parseAddress(text)
					if err != nil {
						return nil, err
					}
					return connect(a, peerOptions("DEALER"))
				},
				Replies: true,
				Ends:    true,
				Listens: true,
				Limit:   int(testConfig().MaxMessage),
			})
		})
	}
}

// socketFile returns an address in a folder of its own. Not in t.TempDir, whose
// path can be too long for a socket.
func socketFile(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zmq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "ipc://" + filepath.Join(dir, "s")
}

// testConfig is a section for tests, at a free port.
func testConfig() *Config {
	c := Default().(*Config)
	c.Bind = []string{"tcp://127.0.0.1:0"}
	c.MaxMessage = 16 << 10
	c.WriteTimeout = config.Duration(3 * time.Second)
	c.Reconnect = config.Duration(time.Millisecond)
	c.ReconnectMax = config.Duration(20 * time.Millisecond)
	return c
}

// server is a transport that serves until the test ends.
type server struct {
	*Transport
	*transporttest.Serving
	t       *testing.T
	journal transporttest.Journal
}

func serve(t *testing.T, c *Config, queue transport.Queue) *server {
	t.Helper()
	return serveOn(t, c, queue, net.Listen)
}

func serveOn(t *testing.T, c *Config, queue transport.Queue, listen func(network, address string) (net.Listener, error)) *server {
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
