package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/fee/internal/config"
	"example.com/fee/internal/deadletters"
	"example.com/fee/internal/transport"
)

// A graveyard keeps dead letters in memory, unless it is full.
type graveyard struct {
	mu      sync.Mutex
	full    bool
	tries   int
	letters []deadletters.Letter
	added   func(letter deadletters.Letter) // nil: nothing
}

func (g *graveyard) Add(letter deadletters.Letter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tries++; g.full {
		return errors.New("disk full")
	}
	g.letters = append(g.letters, letter)
	if g.added != nil {
		g.added(letter)
	}
	return nil
}

func (g *graveyard) setFull(full bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full = full
}

// state is how often it was tried, and what is there.
func (g *graveyard) state() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var bodies []string
	for _, letter := range g.letters {
		bodies = append(bodies, string(letter.Message))
	}
	return fmt.Sprint(g.tries, bodies)
}

func fail(context.Context, []byte) ([]byte, error) { return []byte("SORRY"), errors.New("no") }

// An identified message has its body as its ID, and may come again.
type identified struct {
	*message
	id    string
	again bool
}

func (m identified) ID() string        { return m.id }
func (m identified) Redelivered() bool { return m.again }

// A message is a dead letter, whole and with what there is to know, before it is
// settled.
func TestDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := messages(strings.Repeat("x", 1<<20))[0]
		g := &graveyard{added: func(deadletters.Letter) {
			if m.times.Load() > 0 {
				t.Error("settled before it was a dead letter")
			}
		}}
		p := startWith(t, Options{DeadLetters: g}, one(fail), func(s *Settings) { s.Attempts = 3 })
		defer p.Close()
		began := time.Now()
		if _, err := p.For("tcp").Submit(t.Context(), []transport.Message{identified{message: m, id: "key 7"}}); err != nil {
			t.Fatal(err)
		}
		expect(t, "SORRY: no", m)
		if len(g.letters) != 1 {
			t.Fatalf("%d letters", len(g.letters))
		}
		l := g.letters[0]
		if l.Transport != "tcp" || l.Key != "key 7" || string(l.Message) != string(m.body) || l.Reason != "no" || l.Attempts != 3 || l.ID != "" {
			l.Message = nil
			t.Errorf("%+v", l)
		}
		if l.Time.Before(began) || l.Time.After(time.Now()) || l.Time.Location() != time.UTC {
			t.Errorf("at %v", l.Time)
		}
		if s := p.Stats(); s.Failed != 1 || s.Retries != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// What is done is no dead letter, and a permanent error makes one at once.
func TestDeadLetterOnlyOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &graveyard{}
		p := startWith(t, Options{DeadLetters: g}, one(func(ctx context.Context, request []byte) ([]byte, error) {
			switch string(request) {
			case "never":
				return nil, permanent{}
			case "odd":
				return nil, &odd{}
			}
			return ok(ctx, request)
		}), func(s *Settings) { s.Attempts = 1 })
		defer p.Close()
		ms := messages("a", "never", "b", "odd")
		submit(t, p, ms...)
		expect(t, "TRUE", ms[0], ms[2])
		expect(t, "FALSE: never", ms[1])
		<-ms[3].over
		synctest.Wait()
		for _, l := range g.letters {
			want := map[string]string{"never": "never", "odd": "%!v(PANIC=Error method: odder)"}[string(l.Message)]
			if l.Reason != want || l.Attempts != 1 || l.Key != "" || l.Transport != "" {
				t.Errorf("%+v, want the reason %s", l, want)
			}
		}
		if len(g.letters) != 2 {
			t.Errorf("letters: %s", g.state())
		}
	})
}

// odd is an error whose text is a panic.
type odd struct{}

func (*odd) Error() string { panic("odder") }

// While no dead letter can be kept, its message is held, in its place in the queue
// and of its key, and not handled again.
func TestDeadLetterThatCantBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &graveyard{full: true}
		attempts := 0
		p := startWith(t, Options{DeadLetters: g}, one(func(ctx context.Context, request []byte) ([]byte, error) {
			if string(request) == "a1" {
				attempts++
				return nil, permanent{}
			}
			return ok(ctx, request)
		}), byLetter(nil))
		defer p.Close()
		log := logTo(p)
		ms := messages("a1", "a2", "b")
		submitKeyed(t, p, ms...)
		expect(t, "TRUE", ms[2])
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := p.Stats(); s.Queued != 2 || s.InFlight != 0 || s.Failed != 0 || ms[0].times.Load()+ms[1].times.Load() != 0 {
			t.Errorf("%+v", s)
		}
		// With pauses of up to 5 s, and half of that on average.
		if g.tries < 700 || g.tries > 4000 || attempts != 1 {
			t.Errorf("%d tries to keep the letter, %d attempts", g.tries, attempts)
		}
		if got := strings.Count(log.String(), "disk full"); got != 1 || p.Stalled() {
			t.Errorf("logged %d times, stalled %v", got, p.Stalled())
		}
		g.setFull(false)
		expect(t, "FALSE: never", ms[0])
		expect(t, "TRUE", ms[1])
		if attempts != 1 || len(g.letters) != 1 || g.letters[0].Attempts != 1 {
			t.Errorf("%d attempts, letters: %s", attempts, g.state())
		}
		if !strings.Contains(log.String(), "dead letters are kept again") {
			t.Errorf("logged\n%s", log)
		}
	})
}

// pitfall 62: a stop gives back what can't be a dead letter, after one more try,
// and without one to handle it.
func TestDrainWithoutDeadLetters(t *testing.T) {
	for _, heals := range []bool{false, true} {
		t.Run(fmt.Sprint("heals=", heals), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &graveyard{full: true}
				var r recorder
				p := startWith(t, Options{DeadLetters: g}, one(func(_ context.Context, request []byte) ([]byte, error) {
					r.note(string(request))
					return nil, permanent{}
				}), func(s *Settings) {
					s.Backoff = config.Duration(time.Hour)
					s.BackoffMax = s.Backoff
				})
				defer p.Close()
				ms := messages("x")
				submit(t, p, ms...)
				synctest.Wait()
				g.setFull(!heals)
				began := time.Now()
				if err := p.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v", took)
				}
				want, letters := "given back", "2 []"
				if heals {
					want, letters = "FALSE: never", "2 [x]"
				}
				expect(t, want, ms...)
				if g.state() != letters || r.String() != "x" {
					t.Errorf("tries and letters: %s, want %s; handled %s", g.state(), letters, &r)
				}
			})
		})
	}
}

// Close waits for no disk.
func TestCloseWhileALetterIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		g := &graveyard{added: func(deadletters.Letter) { <-let }}
		p := startWith(t, Options{DeadLetters: g}, one(fail), func(s *Settings) { s.Attempts = 1 })
		ms := messages("x")
		submit(t, p, ms...)
		synctest.Wait()
		if s := p.Stats(); s.InFlight != 1 || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
		p.Close()
		expect(t, "given back", ms...)
		close(let)
		synctest.Wait()
		if s := p.Stats(); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// Pitfall 60: a thousand failures at once, with many workers, are a thousand
// letters.
func TestManyDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &graveyard{}
		p := startWith(t, Options{DeadLetters: g}, both{fail, func(context.Context, [][]byte) []Result { return nil }}, nil)
		defer p.Close()
		ms := numbered(1000)
		submit(t, p, ms...)
		expect(t, "SORRY: no", ms...)
		if g.tries != 1000 || len(g.letters) != 1000 {
			t.Errorf("%d tries, %d letters", g.tries, len(g.letters))
		}
	})
}
