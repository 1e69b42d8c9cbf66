package worker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/job/internal/config"
)

// gates is a handler for which each request is the name of the channel that
// lets it end. Those without a channel end at once.
type gates map[string]chan struct{}

func (g gates) Handle(_ context.Context, request []byte) ([]byte, error) {
	if gate := g[string(request)]; gate != nil {
		<-gate
	}
	return []byte("TRUE"), nil
}

// watch asks the pool every two seconds, as a watchdog does, and returns after
// how long it was told of a stall; 0 if it was not within the time.
func watch(p *Pool, within time.Duration) time.Duration {
	for began := time.Now(); time.Since(began) < within; {
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p.Stalled() {
			return time.Since(began)
		}
	}
	return 0
}

// stallPool starts two workers with a timeout of 30 s.
func stallPool(t *testing.T, handler Handler) *Pool {
	return start(t, handler, func(s *Settings) {
		s.Count, s.Timeout = 2, config.Duration(30*time.Second)
	})
}

// A pool is stalled when its last worker hangs, and not before; it recovers
// when one gets on.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gates{"a": make(chan struct{}), "b": make(chan struct{})}
		p := stallPool(t, g)
		defer p.Close()
		if took := watch(p, time.Hour); took != 0 {
			t.Errorf("an idle pool stalled after %v", took)
		}
		a, b := messages("a")[0], messages("b")[0]
		submit(t, p, a)
		for range 100 { // one worker hangs, the other works
			ms := numbered(3)
			submit(t, p, ms...)
			if took := watch(p, 10*time.Second); took != 0 {
				t.Fatalf("stalled after %v with a worker left", took)
			}
			expect(t, "TRUE", ms...)
		}
		if took := watch(p, time.Hour); took != 0 {
			t.Errorf("stalled after %v with an idle worker and nothing waiting", took)
		}
		submit(t, p, b)
		waiting := numbered(1)
		submit(t, p, waiting...)
		if took := watch(p, time.Hour); took < 40*time.Second || took > 44*time.Second {
			t.Errorf("stalled after %v, want the timeout of 30 s and 10 s more, seen twice", took)
		}
		if !p.Stalled() {
			t.Error("a stall went by itself")
		}
		close(g["a"])
		expect(t, "TRUE", append(waiting, a)...)
		if took := watch(p, time.Hour); took != 0 {
			t.Errorf("stalled after %v when a worker was back", took)
		}
		close(g["b"])
		expect(t, "TRUE", b)
	})
}

// Pitfall 68: a pool that is slow, that rests, or that was stopped for a while is
// not stalled.
func TestNotStalled(t *testing.T) {
	t.Run("slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := stallPool(t, one(func(context.Context, []byte) ([]byte, error) {
				time.Sleep(39 * time.Second) // some who roll back take long after their context's end
				return nil, nil
			}))
			defer p.Close()
			submit(t, p, numbered(100)...)
			if took := watch(p, 2*time.Hour); took != 0 {
				t.Errorf("stalled after %v", took)
			}
		})
	})
	t.Run("slow batches", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := stallPool(t, both{ok, func(ctx context.Context, requests [][]byte) []Result {
				time.Sleep(25 * time.Second)
				return allOK(ctx, requests)
			}})
			defer p.Close()
			for range 100 {
				submit(t, p, numbered(5)...)
				if took := watch(p, 20*time.Second); took != 0 {
					t.Fatalf("stalled after %v", took)
				}
			}
			if took := watch(p, time.Hour); took != 0 {
				t.Errorf("stalled after %v", took)
			}
		})
	})
	t.Run("resting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := start(t, one(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no") }), func(s *Settings) {
				s.Backoff = config.Duration(24 * time.Hour)
				s.BackoffMax = s.Backoff
			})
			defer p.Close()
			submit(t, p, numbered(100)...)
			if took := watch(p, time.Hour); took != 0 {
				t.Errorf("stalled after %v", took)
			}
		})
	})
	t.Run("stopped for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := gates{"a": make(chan struct{}), "b": make(chan struct{})}
			p := stallPool(t, g)
			defer p.Close()
			submit(t, p, messages("a", "b")...)
			if took := watch(p, 20*time.Second); took != 0 {
				t.Errorf("stalled after %v", took)
			}
			time.Sleep(time.Hour)
			// As if all had been stopped until now: the watchdog comes first, and
			// as often as it likes, and the handlers return then.
			for range 10 {
				if p.Stalled() {
					t.Error("stalled before anybody had time to go on")
				}
			}
			close(g["a"])
			close(g["b"])
			if took := watch(p, time.Hour); took != 0 {
				t.Errorf("stalled after %v", took)
			}
		})
	})
	t.Run("closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := gates{"a": make(chan struct{})}
			p := start(t, g, func(s *Settings) { s.Count = 1 })
			submit(t, p, messages("a")...)
			if took := watch(p, time.Hour); took == 0 {
				t.Error("not stalled before")
			}
			p.Close()
			if took := watch(p, time.Hour); took != 0 {
				t.Errorf("stalled after %v", took)
			}
			close(g["a"])
		})
	})
}

// Work that lies beside an idle worker is a stall, although only a fault of the
// pool itself could bring that about: here, a worker that is not woken.
func TestStalledBesideIdleWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stallPool(t, one(ok))
		defer p.Close()
		synctest.Wait()
		p.mu.Lock()
		ms := numbered(1)
		p.enqueue(p.anonymous, asMessages(ms))
		p.mu.Unlock()
		if took := watch(p, time.Hour); took < 10*time.Second || took > 14*time.Second {
			t.Errorf("stalled after %v, want 10 s, seen twice", took)
		}
		p.mu.Lock()
		p.wake()
		p.mu.Unlock()
		expect(t, "TRUE", ms...)
		synctest.Wait()
		if p.Stalled() {
			t.Error("stalled when all was done")
		}
	})
}

// Pitfall 72: the times that are compared come from the monotonic clock, which
// nobody sets. A time that has lost its reading of that does not show it.
func TestMonotonicTimes(t *testing.T) {
	let := make(chan struct{})
	p := start(t, gate(let), func(s *Settings) { s.Count = 1 })
	ms := numbered(1)
	submit(t, p, ms...)
	let <- struct{}{}
	expect(t, "TRUE", ms...)
	submit(t, p, numbered(1)...)
	for p.Stats().InFlight == 0 {
		time.Sleep(time.Millisecond)
	}
	p.Stalled()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enqueue(p.anonymous, asMessages(numbered(1)))
	var times []time.Time
	for w := range p.workers {
		times = append(times, w.seen)
		w.seen = time.Now().Add(-time.Hour)
	}
	p.stuck(time.Now())
	times = append(times, p.lying)
	for _, at := range times {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%v is of the wall clock", at)
		}
	}
}

// Pitfalls 34 and 36: told to stop at once while it drains, beside a handler that
// hangs, the pool gives everything back, and the drain ends.
func TestCloseWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gates{"hung": make(chan struct{})}
		p := start(t, g, func(s *Settings) { s.Count = 1 })
		hung, waiting := messages("hung"), numbered(5)
		submit(t, p, append(hung, waiting...)...)
		drained := make(chan error, 1)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		began := time.Now()
		p.Close()
		expect(t, "given back", append(hung, waiting...)...)
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		if s := p.Stats(); s.Done != 0 || s.Failed != 0 {
			t.Errorf("%+v", s)
		}
		close(g["hung"])
	})
}
