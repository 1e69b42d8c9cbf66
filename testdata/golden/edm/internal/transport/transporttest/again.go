// Transports that connect to where the messages are: what was not settled comes
// again, and a connection that was lost is made anew.

package transporttest

import (
	"testing"

	"example.com/edm/internal/transport"
)

// Pitfalls 57 and 62: what was given back, and what was not settled before the
// end, comes again, and as the same message; what was settled does not.
func redelivery(t *testing.T, h Harness) {
	needs(t, h.Redelivers, "redelivery")
	const messages = 9
	configuration := h.Config()
	q := make(Queue, messages)
	s := startWith(t, h, configuration, q)
	peer := s.dial()
	var taken []transport.Message
	for i := range messages {
		if err := peer.Send(body(0, i)); err != nil {
			t.Fatal(err)
		}
		taken = append(taken, q.Take(t))
	}
	s.Cancel()                     // or what is given back would come at once
	ids := make(map[string]string) // of those that have to come again, by body
	for i, m := range taken {
		switch i % 3 {
		case 0:
			Answer(m)
			continue
		case 1:
			m.Settle(nil, transport.ErrStopped)
		}
		ids[string(m.Body())] = identity(t, m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Wait()
	for i := 2; i < messages; i += 3 {
		Answer(taken[i]) // too late
	}

	s = startWith(t, h, configuration, q)
	for range len(ids) {
		m := q.Take(t)
		id, missing := ids[string(m.Body())]
		switch {
		case !missing:
			t.Errorf("message %.20q… came again", m.Body())
		case identity(t, m) != id:
			t.Errorf("message %.20q… has the ID %q now, had %q", m.Body(), identity(t, m), id)
		case !m.(transport.Redelivered).Redelivered():
			t.Errorf("message %.20q… does not say that it may have come before", m.Body())
		}
		delete(ids, string(m.Body()))
		Answer(m)
	}
	if err := s.dial().Send(body(1, 0)); err != nil {
		t.Fatal(err)
	}
	Answer(q.Take(t))
	s.Stop()
	if len(q) > 0 {
		t.Errorf("%d messages too many came again", len(q))
	}
}

// identity is the ID of a message that can come again.
func identity(t *testing.T, m transport.Message) string {
	t.Helper()
	redelivered, ok := m.(transport.Redelivered)
	if !ok {
		t.Fatalf("a %T can't tell whether it came before", m)
	}
	return redelivered.ID()
}

// Pitfalls 64 and 65: the transport comes back whenever it can, and meanwhile
// neither ends nor uses up anything.
func reconnect(t *testing.T, h Harness) {
	needs(t, h.Cut != nil, "connections of its own")
	const times = 5
	s := start(t, h, new(Echo))
	for range times {
		serves(t, s)
		restore := h.Cut(s.Transport)
		if s.Status() == "" {
			t.Error("no status without a connection")
		}
		if s.Ended() {
			t.Fatal("Serve returned for want of a connection")
		}
		restore()
	}
	serves(t, s)
	s.Stop()
}

// The end does not wait for a connection.
func stopWithoutConnection(t *testing.T, h Harness) {
	needs(t, h.Cut != nil, "connections of its own")
	for name, end := range map[string]func(*service){
		"drain":  func(s *service) { s.Cancel() },
		"close":  func(s *service) { _ = s.Close() },
		"retire": func(s *service) { s.Retire() },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, h, new(Echo))
			serves(t, s)
			restore := h.Cut(s.Transport)
			defer restore()
			end(s)
			s.Wait()
		})
	}
}
