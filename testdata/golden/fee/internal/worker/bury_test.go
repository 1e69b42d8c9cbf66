package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/fee/internal/transport"
)

// A burying message has a place of its own for dead letters, which may be out of
// order, and may be none.
type burying struct {
	*message
	place *place
}

type place struct {
	mu     sync.Mutex
	broken bool
	none   bool
	tries  int
	kept   []string
}

func (m burying) Bury(_ context.Context, reason string, attempts int) (bool, error) {
	p := m.place
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.tries++; {
	case p.broken:
		return true, errors.New("no connection")
	case p.none:
		return false, nil
	}
	if m.times.Load() > 0 {
		reason += ", and is settled"
	}
	p.kept = append(p.kept, fmt.Sprintf("%s: %s, %d attempts", m.body, reason, attempts))
	return true, nil
}

func (p *place) set(broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

// What the transport keeps is not kept twice, and what it does not keep is.
func TestBuriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, none := range []bool{false, true} {
			g, place := &graveyard{}, &place{none: none}
			p := startWith(t, Options{DeadLetters: g}, one(fail), func(s *Settings) { s.Attempts = 2 })
			m := burying{messages("a")[0], place}
			if _, err := p.Submit(t.Context(), []transport.Message{m}); err != nil {
				t.Fatal(err)
			}
			expect(t, "SORRY: no", m.message)
			kept, want := fmt.Sprint(place.kept, " ", g.state()), "[a: no, 2 attempts] 0 []"
			if none {
				want = "[] 1 [a]"
			}
			if kept != want {
				t.Errorf("kept %s, want %s", kept, want)
			}
			p.Close()
		}
	})
}

// A service without dead letters of its own leaves them to the transport, too.
func TestBuriedWithoutDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := &place{}
		p := start(t, one(fail), func(s *Settings) { s.Attempts = 1 })
		defer p.Close()
		m := burying{messages("a")[0], place}
		if _, err := p.Submit(t.Context(), []transport.Message{m}); err != nil {
			t.Fatal(err)
		}
		expect(t, "SORRY: no", m.message)
		if len(place.kept) != 1 {
			t.Errorf("kept %q", place.kept)
		}
	})
}

// While the place is out of order the message is held, and goes back to its sender
// when the service stops: pitfalls 56 and 62.
func TestBuriedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, comesBack := range []bool{true, false} {
			place := &place{broken: true}
			p := startWith(t, Options{DeadLetters: &graveyard{}}, one(fail), func(s *Settings) { s.Attempts = 1 })
			m := burying{messages("a")[0], place}
			if _, err := p.Submit(t.Context(), []transport.Message{m}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if place.tries == 0 || m.times.Load() > 0 {
				t.Errorf("%d tries, settled %d times", place.tries, m.times.Load())
			}
			if comesBack {
				place.set(false)
				expect(t, "SORRY: no", m.message)
			} else {
				if err := p.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				expect(t, "given back", m.message)
			}
			p.Close()
		}
	})
}

// A refusing message has failed before it comes.
type refusing struct {
	identified
	why error
}

func (m refusing) Refused() error { return m.why }

// Nobody gets to handle what the transport refuses, in a batch or alone, and it
// becomes a dead letter; the others pass.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &graveyard{}
		handler := both{one: ok, batch: allOK}
		p := startWith(t, Options{DeadLetters: g}, handler, nil)
		defer p.Close()
		ms := messages("a", "large", "b")
		var all []transport.Message
		for i, m := range ms {
			r := refusing{identified: identified{message: m, id: fmt.Sprint(i), again: true}}
			if i == 1 {
				r.why = errors.New("too large")
			}
			all = append(all, r)
		}
		if _, err := p.For("amqp").Submit(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		expect(t, "TRUE", ms[0], ms[2])
		expect(t, "FALSE: too large", ms[1])
		if len(g.letters) != 1 || g.letters[0].Reason != "too large" || g.letters[0].Attempts != 0 || g.letters[0].Key != "1" {
			t.Errorf("letters %+v", g.letters)
		}
		if s := p.Stats(); s.Done != 2 || s.Failed != 1 || s.Retries != 0 {
			t.Errorf("%+v", s)
		}
	})
}
