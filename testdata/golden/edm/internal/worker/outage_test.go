package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/edm/internal/config"
)

// A server is what a handler needs. It notes the attempts, and the messages in
// the order in which it has stored them.
type server struct {
	away atomic.Bool

	mu       sync.Mutex
	attempts []string // "alone" or how many together, while it was away
	stored   []string
	sizes    []int // of what was stored at once
}

func (s *server) store(kind string, requests ...[]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away.Load() {
		s.attempts = append(s.attempts, kind)
		return fmt.Errorf("store: %w", unavailable{})
	}
	for _, request := range requests {
		s.stored = append(s.stored, string(request))
	}
	s.sizes = append(s.sizes, len(requests))
	return nil
}

func (s *server) Handle(_ context.Context, request []byte) ([]byte, error) {
	return []byte("TRUE"), s.store("alone", request)
}

func (s *server) HandleBatch(_ context.Context, requests [][]byte) []Result {
	results := make([]Result, len(requests))
	err := s.store(fmt.Sprint(len(requests)), requests...)
	for i := range results {
		results[i] = Result{[]byte("TRUE"), err}
	}
	return results
}

// A thousand messages survive an outage of a minute. No attempt counts, a batch
// stays a batch, the order stays, and the server is asked now and then.
func TestOutage(t *testing.T) {
	tests := []struct {
		name    string
		handler func(s *server) Handler
		kind    string // of each attempt
		sizes   int    // of each success
	}{
		{"alone", func(s *server) Handler { return one(s.Handle) }, "alone", 1},
		{"batches", func(s *server) Handler { return s }, "100", 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				s.away.Store(true)
				p := start(t, tt.handler(s), func(s *Settings) { s.Count, s.Attempts, s.Batch = 1, 1, 100 })
				defer p.Close()
				log := logTo(p)
				ms := numbered(1000)
				submit(t, p, ms...)
				time.Sleep(time.Minute)
				synctest.Wait()
				if stats := p.Stats(); !stats.Paused || stats.Queued+stats.InFlight != 1000 || stats.Retries != 0 {
					t.Errorf("during the outage: %+v", stats)
				}
				if strings.Count(log.String(), "\n") != 1 {
					t.Errorf("logged during the outage:\n%s", log)
				}
				s.away.Store(false)
				expect(t, "TRUE", ms...)
				synctest.Wait()
				if stats := p.Stats(); stats != (Stats{Workers: 1, Done: 1000}) {
					t.Errorf("%+v", stats)
				}
				for i, body := range s.stored {
					if body != fmt.Sprint(i) {
						t.Fatalf("stored %s as number %d", body, i)
					}
				}
				for _, size := range s.sizes {
					if size != tt.sizes {
						t.Errorf("stored %d at once, want %d", size, tt.sizes)
					}
				}
				// From 100 ms up to 5 s, of which it is half on average.
				if n := len(s.attempts); n < 12 || n > 200 {
					t.Errorf("%d attempts in a minute", n)
				}
				for _, kind := range s.attempts {
					if kind != tt.kind {
						t.Fatalf("an attempt of %s, want %s", kind, tt.kind)
					}
				}
				lines := strings.Split(strings.TrimSpace(log.String()), "\n")
				if len(lines) != 2 || !strings.Contains(lines[0], `level=WARN`) || !strings.Contains(lines[0], `error="store: away"`) ||
					!strings.Contains(lines[1], "level=INFO") || !strings.Contains(lines[1], " after=1m") {
					t.Errorf("logged\n%s", log)
				}
			})
		})
	}
}

// Whichever worker comes back first, the messages are in their order again, and
// then one worker asks, for all.
func TestOutageSeenByManyWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := map[string]chan struct{}{}
		ms := numbered(8)
		for _, m := range ms {
			let[string(m.body)] = make(chan struct{})
		}
		var r recorder
		var healed atomic.Bool
		p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			if <-let[string(request)]; healed.Load() {
				return []byte("TRUE"), nil
			}
			return nil, unavailable{}
		}), func(s *Settings) { s.Count = 4 })
		defer p.Close()
		for _, m := range ms { // one after the other, so that the notes are in order
			submit(t, p, m)
			synctest.Wait()
		}
		for _, i := range []int{2, 0, 3, 1} {
			let[fmt.Sprint(i)] <- struct{}{}
			synctest.Wait()
		}
		if want := "0 1 2 3"; r.String() != want {
			t.Errorf("handled %s, want %s", &r, want)
		}
		time.Sleep(time.Minute)
		if want := "0 1 2 3 0"; r.String() != want {
			t.Errorf("handled %s, want %s: one worker asks", &r, want)
		}
		healed.Store(true)
		for _, m := range ms {
			let[string(m.body)] <- struct{}{}
		}
		expect(t, "TRUE", ms...)
		if s := p.Stats(); s.Retries != 0 || s.Paused {
			t.Errorf("%+v", s)
		}
	})
}

// What began before an outage neither ends it nor prolongs it.
func TestOutageAndOldAttempts(t *testing.T) {
	for name, result := range map[string]error{"success": nil, "failure": unavailable{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				let := make(chan struct{})
				var r recorder
				p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
					r.note(string(request))
					if string(request) == "old" {
						<-let
						return []byte("TRUE"), result
					}
					return nil, unavailable{}
				}), func(s *Settings) {
					s.Count = 3
					s.Backoff = config.Duration(time.Hour)
					s.BackoffMax = s.Backoff
				})
				log := logTo(p)
				submit(t, p, messages("old")...)
				synctest.Wait()
				submit(t, p, messages("new")...)
				synctest.Wait()
				close(let)
				synctest.Wait()
				if s := p.Stats(); !s.Paused || s.InFlight != 0 || r.String() != "old new" {
					t.Errorf("%+v, handled %s", s, &r)
				}
				if got := strings.Count(log.String(), "\n"); got != 1 {
					t.Errorf("logged\n%s", log)
				}
				p.Close()
			})
		})
	}
}

// In a batch each message is judged by its own result.
func TestOutageInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		away := true
		p := start(t, both{func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			return []byte("alone"), nil
		}, func(_ context.Context, requests [][]byte) []Result {
			r.note(fmt.Sprintf("%s", requests))
			results := make([]Result, len(requests))
			for i, request := range requests {
				switch {
				case string(request) == "bad":
					results[i].Err = errors.New("no")
				case request[0] == 'x' && away:
					results[i].Err = unavailable{}
				default:
					results[i].Reply = []byte("together")
				}
			}
			away = false
			return results
		}}, func(s *Settings) { s.Count, s.Attempts = 1, 1 })
		defer p.Close()
		ms := messages("x1", "a", "x2", "bad", "x3")
		submit(t, p, ms...)
		expect(t, "together", ms[0], ms[1], ms[2], ms[4])
		expect(t, "alone", ms[3])
		if want := "[x1 a x2 bad x3] bad [x1 x2 x3]"; r.String() != want {
			t.Errorf("handled %s, want %s", &r, want)
		}
	})
}

// A probe that fails in another way is an attempt like any other, and says
// nothing about the outage; one that never could succeed says that it is over.
func TestOutageAndOtherErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []error{unavailable{}, errors.New("no"), errors.New("no"), permanent{}, nil}
		var paused []bool
		var p *Pool
		p = start(t, one(func(context.Context, []byte) ([]byte, error) {
			paused = append(paused, p.Stats().Paused)
			err := answers[0]
			answers = answers[1:]
			return []byte("TRUE"), err
		}), func(s *Settings) { s.Count, s.Attempts = 1, 2 })
		defer p.Close()
		ms := messages("a", "b", "c")
		submit(t, p, ms[0])
		expect(t, "TRUE: no", ms[0])
		submit(t, p, ms[1])
		expect(t, "TRUE: never", ms[1])
		submit(t, p, ms[2])
		expect(t, "TRUE", ms[2])
		if got, want := fmt.Sprint(paused), "[false true true true false]"; got != want {
			t.Errorf("paused at the attempts: %s, want %s", got, want)
		}
	})
}

// pitfall 66: while something is away the queue fills, and then the transports
// are held back.
func TestOutageHoldsTransportsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		s.away.Store(true)
		p := start(t, s, func(s *Settings) { s.Count, s.Queue, s.Batch = 4, 10, 5 })
		defer p.Close()
		ms := numbered(1000)
		go submit(t, p, ms...)
		time.Sleep(time.Hour)
		// What was with the handler when the queue was full has no place in it.
		if stats := p.Stats(); stats.Queued < 10 || stats.Queued > 10+4*5 {
			t.Errorf("%+v", stats)
		}
		s.away.Store(false)
		expect(t, "TRUE", ms...)
	})
}

// pitfall 62: a stop during an outage gives everything back after one more
// attempt, and at once.
func TestDrainDuringAnOutage(t *testing.T) {
	for _, batches := range []bool{false, true} {
		t.Run(fmt.Sprint("batches=", batches), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				s.away.Store(true)
				var handler Handler = s
				want := "[250 250 250 250]"
				if !batches {
					handler = one(s.Handle)
					want = "[" + strings.TrimSpace(strings.Repeat("alone ", 1000)) + "]"
				}
				p := start(t, handler, func(s *Settings) {
					s.Count, s.Batch, s.Attempts = 2, 250, 1
					s.Backoff = config.Duration(time.Hour)
					s.BackoffMax = s.Backoff
				})
				defer p.Close()
				ms := numbered(1000)
				submit(t, p, ms...)
				synctest.Wait()
				s.attempts = nil
				began := time.Now()
				if err := p.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v", took)
				}
				expect(t, "given back", ms...)
				if got := fmt.Sprint(s.attempts); got != want {
					t.Errorf("attempts: %s, want %s", got, want)
				}
				if stats := p.Stats(); stats != (Stats{Workers: 2}) {
					t.Errorf("%+v", stats)
				}
			})
		})
	}
}

func TestCloseDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		s.away.Store(true)
		p := start(t, s, nil)
		ms := numbered(1000)
		submit(t, p, ms...)
		synctest.Wait()
		p.Close()
		expect(t, "given back", ms...)
		if p.Stats().Paused {
			t.Error("a closed pool pauses")
		}
	})
}

// Pitfall 68: a pool that pauses is not stalled, unless the one attempt that it
// makes hangs.
func TestOutageAndStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		var hangs atomic.Bool
		p := stallPool(t, one(func(context.Context, []byte) ([]byte, error) {
			if hangs.Load() {
				<-hung
			}
			return nil, unavailable{}
		}))
		submit(t, p, numbered(10)...)
		if took := watch(p, 12*time.Hour); took != 0 {
			t.Errorf("stalled after %v", took)
		}
		hangs.Store(true)
		if took := watch(p, time.Hour); took < 40*time.Second || took > 50*time.Second {
			t.Errorf("stalled after %v, want up to 5 s until the attempt, its timeout of 30 s and 10 s more, seen twice", took)
		}
		hangs.Store(false)
		close(hung)
		if took := watch(p, time.Hour); took != 0 {
			t.Errorf("stalled after %v when the attempt had ended", took)
		}
		p.Close()
	})
}
