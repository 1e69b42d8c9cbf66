package stream

import (
	"testing"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/transport/transporttest"
)

// A peer that says nothing more is not waited for longer than idle_timeout.
func TestRetiredIdleConnections(t *testing.T) {
	c := testConfig()
	c.IdleTimeout = config.Duration(50 * time.Millisecond)
	s := serve(t, c, new(transporttest.Echo))
	nc := s.dial()
	write(t, nc, "in\n")
	read(t, nc, 3)
	s.Retire()
	if got := read(t, nc, -1); got != "" {
		t.Errorf("read %q", got)
	}
	s.Wait()
}

func TestRetiredStatus(t *testing.T) {
	s := serve(t, testConfig(), new(transporttest.Echo))
	nc := s.dial()
	write(t, nc, "in\n")
	read(t, nc, 3)
	s.Retire()
	if got, want := s.Status(), "no longer listening, 1 connection, 0 refused"; got != want {
		t.Errorf("status %q, want %q", got, want)
	}
	if addr := s.Addr(); addr != nil {
		t.Errorf("address %v of a retired transport", addr)
	}
	if n := s.journal.Count("no longer listening"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
