package amqp

import (
	"fmt"
	"strings"
	"testing"

	"example.com/edm/internal/proxytest"
	"example.com/edm/internal/transport"
)

// reload changes the configuration.
func (s *served) reload(c *Config) {
	s.t.Helper()
	change, err := s.Reload(c)
	if err != nil {
		s.t.Fatal(err)
	}
	change.Commit()
}

// Messages come by a new connection, and what came by the old one is acknowledged
// there.
func TestReload(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Prefetch = 2
	q := make(inbox, 100)
	s := serve(t, c, q)
	b.publish(c, numbered(10)...)
	old := []*message{q.take(t), q.take(t)}
	more := *c
	more.Prefetch = 5
	s.reload(&more)
	var fresh []*message
	for range 5 {
		fresh = append(fresh, q.take(t))
	}
	for _, m := range append(old, fresh...) {
		m.Settle(nil, nil)
	}
	for range 3 {
		q.take(t).Settle(nil, nil)
	}
	if s.Away() != "" {
		t.Error(s.Away())
	}
	s.stop()
	b.ready(queue(c), 0)
}

// Pitfall 41: what can't be leaves all as it was; what is given up is undone.
func TestReloadFails(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	e := &echo{}
	s := serve(t, c, e)
	s.isAway(false)
	for name, change := range map[string]func(c *Config){
		"127.0.0.1:1: connection refused": func(c *Config) { c.URLs = []string{"amqp://127.0.0.1:1"} },
		"exists with other properties":    func(c *Config) { c.ExchangeType = "topic" },
	} {
		other := *c
		change(&other)
		if _, err := s.Reload(&other); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	if _, err := s.Reload(nil); err == nil {
		t.Error("reload with nothing")
	}
	other := *c
	other.Prefetch = 3
	change, err := s.Reload(&other)
	if err != nil {
		t.Fatal(err)
	}
	change.Abort()
	b.publish(c, numbered(3)...)
	eventually(t, func() bool { return e.count() == 3 }, s.Status)
}

// A reload while the broker is away finds another one, without waiting for the
// pause to be over, and one before Serve counts as well.
func TestReloadWhileAway(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	p := proxytest.New(t, b.url.Host)
	there := *c
	e := &echo{}
	s := connect(t, through(p, c))
	s.reload(c) // no change
	more := *c
	more.Prefetch = 3
	s.reload(&more)
	s.begin(e)
	b.publish(c, numbered(1)...)
	eventually(t, func() bool { return e.count() == 1 }, s.Status)
	if n := s.log.Count("connected again"); n != 0 || s.Away() != "" {
		t.Errorf("connected again %d times, away %q", n, s.Away())
	}
	p.Stop()
	s.isAway(true)
	s.reload(&there)
	s.isAway(false)
	b.publish(c, numbered(3)...)
	eventually(t, func() bool { return e.count() == 3 }, s.Status)
	if got := s.Status(); !strings.Contains(got, b.url.Host) {
		t.Error(got)
	}
}

// Many changes under load lose nothing: pitfall 42.
func TestReloadUnderLoad(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	e := &echo{}
	s := serve(t, c, e)
	const changes, messages = 20, 100
	for n := range changes {
		published := numbered(messages)
		for i := range published {
			published[i].Body = fmt.Appendf(nil, "%d %d", n, i)
		}
		b.publish(c, published...)
		other := *c
		other.Prefetch = 10 + n
		s.reload(&other)
	}
	eventually(t, func() bool { return e.count() == changes*messages }, func() string {
		return fmt.Sprint(e.count(), s.Status(), s.log)
	})
	s.stop()
	b.ready(queue(c), 0)
}

var _ transport.Queue = (*echo)(nil)
