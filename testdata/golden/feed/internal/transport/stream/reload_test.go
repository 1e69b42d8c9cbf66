package stream

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/transport/transporttest"
)

// reload changes the configuration of s.
func reload(t *testing.T, s *server, change func(*section)) {
	t.Helper()
	present := s.present.Load()
	next := section{Settings: present.settings, listen: present.endpoint.Address}
	change(&next)
	prepared, err := s.Reload(&next)
	if err != nil {
		t.Fatal(err)
	}
	next = section{} // the transport has its own
	prepared.Commit()
}

func TestReloadOpenConnections(t *testing.T) {
	q := make(transporttest.Queue)
	c := testConfig()
	c.Pipeline = 1
	s := serve(t, c, q)
	nc := s.dial()

	// The second line waits for room, and gets it without the first settled.
	write(t, nc, "one\ntwo\n")
	first := q.Take(t)
	select {
	case <-q:
		t.Fatal("two messages under way")
	default:
	}
	reload(t, s, func(c *section) { c.Pipeline = 2 })
	second := q.Take(t)
	transporttest.Answer(second)
	transporttest.Answer(first)
	if got := read(t, nc, 8); got != "one\ntwo\n" {
		t.Errorf("replies %q", got)
	}

	reload(t, s, func(c *section) { c.MaxMessage = 3 })
	write(t, nc, "six\nseven\n")
	transporttest.Answer(q.Take(t))
	if got := read(t, nc, -1); got != "six\n" {
		t.Errorf("replies %q", got)
	}

	idle := s.dial()
	write(t, idle, "one\n")
	transporttest.Answer(q.Take(t))
	read(t, idle, 4)
	reload(t, s, func(c *section) { c.IdleTimeout = config.Duration(time.Millisecond) })
	if got := read(t, idle, -1); got != "" {
		t.Errorf("read %q", got)
	}
}

func TestReloadFewerConnections(t *testing.T) {
	s := serve(t, testConfig(), new(transporttest.Echo))
	var open []net.Conn
	for range 3 {
		nc := s.dial()
		write(t, nc, "in\n")
		read(t, nc, 3)
		open = append(open, nc)
	}
	reload(t, s, func(c *section) { c.MaxConnections = 1 })
	if got := read(t, s.dial(), -1); got != "" {
		t.Errorf("a connection above the new limit got %q", got)
	}
	for _, nc := range open {
		write(t, nc, "still\n")
		read(t, nc, 6)
	}
}

func TestReloadErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := serve(t, testConfig(), new(transporttest.Echo))
	inUse := syscall.EADDRINUSE.Error()
	next := section{Settings: s.present.Load().settings, listen: s.present.Load().endpoint.Address}

	next.listen = taken.Addr().String()
	want := fmt.Sprintf("listen = %q: %s", next.listen, inUse)
	if _, err := s.Reload(&next); err == nil || err.Error() != want {
		t.Errorf("an address in use: %v, want %s", err, want)
	}

	// All addresses of the machine can't be bound while one of them is.
	next.listen = fmt.Sprintf("0.0.0.0:%d", s.Addr().(*net.TCPAddr).Port)
	want = fmt.Sprintf("listen = %q: %s; this service has %s until it is restarted", next.listen, inUse, s.Addr())
	if _, err := s.Reload(&next); err == nil || err.Error() != want {
		t.Errorf("the same port: %v, want %s", err, want)
	}

	type other struct{ *section }
	if _, err := s.Reload(other{&next}); err == nil {
		t.Error("a section of another transport was taken")
	}
}

// Connections that the kernel let in at the old address are served, although
// nobody has accepted them when the reload comes. pitfall 50
func TestReloadServesBacklog(t *testing.T) {
	s := serveOn(t, testConfig(), new(transporttest.Echo), func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return transporttest.NewLateListener(l), err
	})
	var peers []net.Conn
	for range 20 {
		peers = append(peers, s.dial())
	}
	reload(t, s, func(c *section) { c.listen = "127.0.0.1:00" })
	for i, nc := range peers {
		write(t, nc, "in\n")
		if _, err := io.ReadFull(nc, make([]byte, 3)); err != nil {
			t.Errorf("peer %d: %v", i, err)
		}
	}
}

// Pitfall 50: also when accepting is interrupted before it has come to them, as
// on a busy machine.
func TestReloadSweepsBacklog(t *testing.T) {
	first := true
	s := serveOn(t, testConfig(), new(transporttest.Echo), func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		if !first {
			return l, err
		}
		first = false
		return transporttest.BrokenOffListener{LateListener: transporttest.NewLateListener(l)}, err
	})
	var peers []net.Conn
	for range 20 {
		peers = append(peers, s.dial())
	}
	old := s.Addr().String()
	reload(t, s, func(c *section) { c.listen = "127.0.0.1:00" })
	// The last of them may not have got in yet on a busy machine: the kernel lets
	// a peer in a moment after it has told the peer so. Without the sweep none is.
	const late = 2
	lost := 0
	for _, nc := range peers {
		_, err := io.WriteString(nc, "in\n")
		if err == nil {
			_, err = io.ReadFull(nc, make([]byte, 3))
		}
		if err != nil {
			lost++
		}
	}
	if lost > late {
		t.Errorf("%d of %d peers were lost", lost, len(peers))
	}
	if nc, err := net.Dial("tcp", old); err == nil {
		_ = nc.Close()
		t.Error("the old address is still listened on")
	}
}
