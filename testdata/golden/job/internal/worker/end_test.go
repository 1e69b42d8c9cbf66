package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/job/internal/config"
	"example.com/job/internal/transport"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		p := start(t, gate(let), func(s *Settings) { s.Count = 2 })
		defer p.Close()
		if err := p.Drain(t.Context()); err != nil {
			t.Errorf("with nothing to do: %v", err)
		}
		ms := numbered(5)
		submit(t, p, ms...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a deadline: %v", err)
		}
		drained := make(chan error, 2)
		for range 2 {
			go func() { drained <- p.Drain(t.Context()) }()
		}
		for range ms {
			synctest.Wait()
			select {
			case err := <-drained:
				t.Fatalf("drained before all was done, with %v", err)
			default:
			}
			let <- struct{}{}
		}
		for range 2 {
			if err := <-drained; err != nil {
				t.Error(err)
			}
		}
		for _, m := range ms {
			if m.times.Load() != 1 {
				t.Errorf("drained before message %s was settled", m.body)
			}
		}
	})
}

// Drain returns when the transports know of everything.
func TestDrainWaitsForSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, one(ok), nil)
		defer p.Close()
		let := make(chan struct{})
		if _, err := p.Submit(t.Context(), []transport.Message{slowToSettle{let}}); err != nil {
			t.Fatal(err)
		}
		drained := make(chan error)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-drained:
			t.Errorf("drained before the message was settled, with %v", err)
		case let <- struct{}{}:
			if err := <-drained; err != nil {
				t.Error(err)
			}
		}
	})
}

type slowToSettle struct{ let chan struct{} }

func (slowToSettle) Body() []byte           { return nil }
func (m slowToSettle) Settle([]byte, error) { <-m.let }

// pitfall 62: what fails while the service stops is given back and does not
// count as failed, whether it rests, waits, or is with the handler; nothing
// rests any more. A permanent error stays one.
func TestDrainGivesBackWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		fail := func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			switch string(request) {
			case "slow":
				<-let
			case "never":
				return nil, permanent{}
			}
			return nil, errors.New("no")
		}
		p := start(t, one(fail), func(s *Settings) {
			s.Count, s.Attempts = 1, 2
			s.Backoff = config.Duration(time.Hour)
			s.BackoffMax = s.Backoff
		})
		defer p.Close()
		resting, slow, waiting, never := messages("resting")[0], messages("slow")[0], messages("waiting")[0], messages("never")[0]
		submit(t, p, resting)
		synctest.Wait()
		submit(t, p, slow, waiting, never)
		synctest.Wait()
		began := time.Now()
		go func() {
			synctest.Wait()
			close(let)
		}()
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		expect(t, "given back", resting, slow, waiting)
		expect(t, "FALSE: never", never)
		if s := p.Stats(); s.Failed != 1 || s.Done != 0 {
			t.Errorf("%+v", s)
		}
		if want := "resting slow resting waiting never"; r.String() != want {
			t.Errorf("attempts: %s, want %s", &r, want)
		}
	})
}

// pitfalls 58 and 62: Close waits for no handler, settles each message once,
// and nothing counts as failed.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var polite error
		handler := one(func(ctx context.Context, request []byte) ([]byte, error) {
			switch string(request) {
			case "deaf":
				<-release
				return []byte("TRUE"), nil
			case "polite":
				<-ctx.Done()
				polite = ctx.Err()
				return nil, ctx.Err()
			}
			return nil, errors.New("no")
		})
		p := start(t, handler, func(s *Settings) {
			s.Count, s.Queue, s.Attempts = 2, 2, 10
			s.Backoff = config.Duration(time.Hour)
			s.BackoffMax = s.Backoff
		})
		resting := messages("resting")
		submit(t, p, resting...)
		synctest.Wait()
		ms := messages("deaf", "polite", "queued")
		submit(t, p, ms...)
		synctest.Wait()
		if s := p.Stats(); s.InFlight != 2 || s.Queued != 2 {
			t.Errorf("%+v", s)
		}
		for range 2 {
			p.Close()
		}
		for _, m := range append(ms, resting...) {
			if m.times.Load() != 1 {
				t.Errorf("message %s is not settled after Close", m.body)
			}
		}
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		close(release)
		synctest.Wait()
		expect(t, "given back", append(ms, resting...)...)
		if s := p.Stats(); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
		if !errors.Is(polite, context.Canceled) {
			t.Errorf("the context of an attempt ended with %v", polite)
		}
	})
}

func TestCloseDropsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, both{ok, func(ctx context.Context, requests [][]byte) []Result {
			<-ctx.Done()
			return allOK(ctx, requests[:1])
		}}, nil)
		ms := numbered(3)
		submit(t, p, ms...)
		synctest.Wait()
		p.Close()
		synctest.Wait()
		expect(t, "given back", ms...)
	})
}

// New settings hold from the next attempt on; what waits keeps its order.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		var r recorder
		p := start(t, one(func(ctx context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			return gate(let)(ctx, request)
		}), func(s *Settings) { s.Count, s.Queue = 1, 3 })
		defer p.Close()
		configure := func(count, queue int, want Stats) {
			t.Helper()
			s := *Default()
			s.Count, s.Queue = count, queue
			p.Configure(s)
			synctest.Wait()
			if got := p.Stats(); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		ms := numbered(12)
		go submit(t, p, ms...)
		synctest.Wait()
		configure(1, 3, Stats{Workers: 1, InFlight: 1, Queued: 3})
		configure(3, 3, Stats{Workers: 3, InFlight: 3, Queued: 3})
		configure(3, 20, Stats{Workers: 3, InFlight: 3, Queued: 9})
		// A smaller queue takes nothing more; it loses nothing either. Workers
		// that are too many end after what they are doing.
		configure(1, 1, Stats{Workers: 3, InFlight: 3, Queued: 9})
		for range 3 {
			let <- struct{}{}
		}
		synctest.Wait()
		configure(1, 1, Stats{Workers: 1, InFlight: 1, Queued: 8, Done: 3})
		close(let)
		expect(t, "TRUE", ms...)
		synctest.Wait()
		configure(2, 1, Stats{Workers: 2, Done: 12})
		configure(1, 1, Stats{Workers: 1, Done: 12})
		if got, want := r.String()[6:], "3 4 5 6 7 8 9 10 11"; got != want {
			t.Errorf("handled %s, want %s", got, want)
		}
		p.Close()
		configure(5, 5, Stats{Done: 12})
	})
}

// Whatever happens at once, each message that was taken is settled once.
func TestStorm(t *testing.T) {
	handle := func(_ context.Context, request []byte) ([]byte, error) {
		switch rand.IntN(10) {
		case 0:
			return nil, errors.New("no")
		case 1:
			return nil, permanent{}
		case 2:
			panic("no")
		}
		return request, nil
	}
	for round := range 10 {
		var handler Handler = one(handle)
		if round%2 == 0 {
			handler = both{handle, func(ctx context.Context, requests [][]byte) []Result {
				var results []Result
				for _, request := range requests[:rand.IntN(len(requests)+1)] {
					reply, err := handle(ctx, request)
					results = append(results, Result{reply, err})
				}
				return results
			}}
		}
		p := start(t, handler, func(s *Settings) {
			s.Backoff, s.BackoffMax = config.Duration(time.Millisecond), config.Duration(time.Millisecond)
		})
		var taken [8][]*message
		var peers sync.WaitGroup
		for peer := range taken {
			peers.Go(func() {
				for n := 0; ; n++ {
					ms := numbered(1 + rand.IntN(20))
					got, err := p.Submit(t.Context(), asMessages(ms))
					taken[peer] = append(taken[peer], ms[:got]...)
					if err != nil {
						return
					}
				}
			})
		}
		for range 50 {
			s := *Default()
			s.Count, s.Queue, s.Batch = 1+rand.IntN(8), 1+rand.IntN(64), 1+rand.IntN(16)
			s.Backoff, s.BackoffMax = config.Duration(time.Millisecond), config.Duration(time.Millisecond)
			p.Configure(s)
			time.Sleep(time.Duration(rand.IntN(int(time.Millisecond))))
		}
		if round%3 == 0 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_ = p.Drain(ctx)
			cancel()
		}
		p.Close()
		peers.Wait()
		total := 0
		for _, ms := range taken {
			total += len(ms)
			for _, m := range ms {
				select {
				case <-m.over:
				default:
					t.Fatalf("round %d: a message was not settled", round)
				}
				if m.times.Load() != 1 {
					t.Fatalf("round %d: a message was settled %d times", round, m.times.Load())
				}
			}
		}
		if total == 0 {
			t.Fatalf("round %d: nothing was taken", round)
		}
	}
}

func BenchmarkPool(b *testing.B) {
	handlers := map[string]Handler{"one": one(ok), "batch": both{ok, allOK}}
	for _, name := range []string{"one", "batch"} {
		for _, n := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/submit=%d", name, n), func(b *testing.B) {
				p := New(handlers[name], *Default(), Options{Log: slog.New(slog.DiscardHandler)})
				defer p.Close()
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					var settled sync.WaitGroup
					ms := make([]transport.Message, n)
					for i := range ms {
						ms[i] = counter{&settled}
					}
					for pb.Next() {
						settled.Add(n)
						_, _ = p.Submit(context.Background(), ms)
						settled.Wait()
					}
				})
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

type counter struct{ settled *sync.WaitGroup }

func (counter) Body() []byte           { return nil }
func (c counter) Settle([]byte, error) { c.settled.Done() }
