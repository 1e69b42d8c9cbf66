// The change to another configuration: all or nothing, and nobody notices.

package transporttest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// newest is the address that the transport asked for last.
func (s *service) newest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listeners[len(s.listeners)-1].Addr().String()
}

// refused checks that nobody listens on address.
func (s *service) refused(address string) {
	s.t.Helper()
	if p, err := s.h.Dial(address); err == nil {
		_ = p.Close()
		s.t.Errorf("%s is still listened on", address)
	}
}

func reloadSame(t *testing.T, h Harness) {
	configuration := h.Config()
	s := start(t, h, new(Echo))
	s.reload(configuration).Commit()
	address := h.Address(s.Transport)
	peer := s.dial()
	s.reload(configuration).Commit()
	if err := exchange(peer, h, 0, 0, 10); err != nil {
		t.Error("after the reload:", err)
	}
	if now := h.Address(s.Transport); now != address {
		t.Errorf("the address went from %s to %s", address, now)
	}
	serves(t, s)
	s.Stop()
}

// pitfall 41
func reloadAddress(t *testing.T, h Harness) {
	s := start(t, h, new(Echo))
	old := h.Address(s.Transport)
	peer := s.dial()
	change := s.reload(h.Config())
	if h.Listens && s.newest() == old {
		t.Fatalf("%s was not given up for another address", old)
	}
	serves(t, s) // still at the old one
	unserved := s.dialAt(old)
	change.Commit()
	if !h.Listens { // what peers of the old address say nobody hears
		serves(t, s)
		s.Stop()
		return
	}
	s.refused(old)
	serves(t, s)
	for i, p := range []Peer{peer, unserved} {
		if err := exchange(p, h, i, 0, 10); err != nil {
			t.Errorf("peer %d at the old address: %v", i, err)
		}
	}
	s.Stop()
}

func reloadAborted(t *testing.T, h Harness) {
	s := start(t, h, new(Echo))
	peer := s.dial()
	s.reload(h.Config()).Abort()
	if h.Listens {
		s.refused(s.newest())
	}
	if err := exchange(peer, h, 0, 0, 10); err != nil {
		t.Error("after the abort:", err)
	}
	serves(t, s)
	s.Stop()
}

func reloadFails(t *testing.T, h Harness) {
	needs(t, h.Listens, "address of its own")
	s := start(t, h, new(Echo))
	peer := s.dial()
	failure := errors.New("no such luck")
	s.mu.Lock()
	s.listenErr = failure
	s.mu.Unlock()
	if _, err := s.Reload(h.Config()); !errors.Is(err, failure) {
		t.Errorf("reload: %v, want %v", err, failure)
	}
	if err := exchange(peer, h, 0, 0, 10); err != nil {
		t.Error("after the failure:", err)
	}
	serves(t, s)
	s.Stop()
}

func reloadUnderLoad(t *testing.T, h Harness) {
	const peers, reloads = 4, 10
	s := start(t, h, new(Echo))
	var done atomic.Bool
	var group sync.WaitGroup
	for i := range peers {
		peer := s.dial()
		group.Go(func() {
			for first := 0; !done.Load(); first += 16 {
				if err := exchange(peer, h, i, first, first+16); err != nil {
					t.Errorf("peer %d: %v", i, err)
					return
				}
			}
		})
	}
	serves(t, s) // whoever came before is let in as well
	for i := range reloads {
		to := s.configuration // one that connects has to stay where the load is
		if h.Listens {
			to = h.Config()
		}
		change := s.reload(to)
		if i%3 == 2 {
			change.Abort()
		} else {
			change.Commit()
		}
		serves(t, s)
	}
	done.Store(true)
	group.Wait()
	s.Stop()
}

func reloadWithoutServing(t *testing.T, h Harness) {
	t.Run("before", func(t *testing.T) {
		s := newService(t, h)
		s.reload(h.Config()).Abort()
		s.reload(h.Config()).Commit()
		s.serve(new(Echo))
		serves(t, s)
		s.Stop()
	})
	t.Run("never", func(t *testing.T) {
		s := newService(t, h)
		s.reload(h.Config()).Commit()
	})
	t.Run("stopped in between", func(t *testing.T) {
		s := start(t, h, new(Echo))
		change := s.reload(h.Config())
		s.Stop()
		change.Commit()
	})
	t.Run("closed in between", func(t *testing.T) {
		s := start(t, h, new(Echo))
		change := s.reload(h.Config())
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		change.Abort()
	})
	t.Run("afterwards", func(t *testing.T) {
		s := start(t, h, new(Echo))
		s.Stop()
		if change, err := s.Reload(h.Config()); err == nil {
			change.Commit()
		}
	})
}
