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

	"example.com/job/internal/transport"
)

// batches is a BatchHandler that notes the sizes of what it gets, and keeps
// each until it receives a value.
func batches(r *recorder, let chan struct{}) both {
	return both{
		one(func(_ context.Context, _ []byte) ([]byte, error) {
			r.note("1")
			<-let
			return []byte("TRUE"), nil
		}),
		func(ctx context.Context, requests [][]byte) []Result {
			r.note(fmt.Sprint(len(requests)))
			<-let
			return allOK(ctx, requests)
		},
	}
}

// A batch is what is waiting, up to the limit. Although there are more workers,
// the next batch gathers meanwhile.
func TestBatchesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		p := start(t, batches(&r, let), func(s *Settings) { s.Count, s.Batch = 4, 10 })
		defer p.Close()
		ms := numbered(31)
		for _, m := range ms[:6] {
			submit(t, p, m)
			synctest.Wait()
		}
		let <- struct{}{}
		synctest.Wait()
		if want := "1 5"; r.String() != want {
			t.Errorf("batches of %s, want %s", &r, want)
		}
		// Full batches don't wait for each other; what is left does.
		submit(t, p, ms[6:]...)
		synctest.Wait()
		if want := "1 5 10 10"; r.String() != want {
			t.Errorf("batches of %s, want %s", &r, want)
		}
		close(let)
		expect(t, "TRUE", ms...)
		if want := "1 5 10 10 5"; r.String() != want {
			t.Errorf("batches of %s, want %s", &r, want)
		}
	})
}

// slowToHear is a message whose sender takes its time to be told.
type slowToHear struct {
	*message
	told chan struct{}
}

func (m slowToHear) Settle(reply []byte, err error) {
	<-m.told
	m.message.Settle(reply, err)
}

// The next batch does not wait until the senders of the one before it know.
func TestBatchBeginsWhileOthersAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		close(let)
		p := start(t, batches(&r, let), nil)
		defer p.Close()
		slow := slowToHear{numbered(1)[0], make(chan struct{})}
		if n, err := p.Submit(t.Context(), []transport.Message{slow}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		synctest.Wait()
		ms := numbered(3)
		submit(t, p, ms...)
		expect(t, "TRUE", ms...)
		if want := "1 3"; r.String() != want {
			t.Errorf("batches of %s, want %s", &r, want)
		}
		close(slow.told)
		expect(t, "TRUE", slow.message)
	})
}

// A worker lets others come before it begins a batch only where messages have
// come from several at a time: one Submit of many is no company.
func TestCompanyOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		p := start(t, batches(&r, let), nil)
		defer p.Close()
		company := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.company
		}
		submit(t, p, numbered(20)...)
		synctest.Wait()
		if n := company(); n != 0 {
			t.Errorf("after one Submit of many: %d", n)
		}
		for range 2 {
			submit(t, p, numbered(1)...) // while that batch is with the handler
		}
		let <- struct{}{}
		synctest.Wait()
		if n := company(); n != sociable {
			t.Errorf("after two at a time: %d, want %d", n, sociable)
		}
		let <- struct{}{}
		synctest.Wait()
		for n := sociable - 1; n >= 0; n-- {
			submit(t, p, numbered(1)...)
			synctest.Wait()
			if got := company(); got != n {
				t.Errorf("after one alone: %d, want %d", got, n)
			}
			let <- struct{}{}
			synctest.Wait()
		}
	})
}

// A worker that has been busy with something else does not start a second batch
// either.
func TestBatchesGrowBesideRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{}), "c": make(chan struct{})}
		p := start(t, both{
			func(_ context.Context, request []byte) ([]byte, error) {
				r.note(string(request))
				<-let[string(request)]
				return []byte("TRUE"), nil
			},
			func(ctx context.Context, requests [][]byte) []Result {
				r.note(fmt.Sprint(len(requests)))
				if string(requests[0]) == "a" {
					return nil
				}
				return allOK(ctx, requests)
			},
		}, func(s *Settings) { s.Count = 2 })
		defer p.Close()
		ms := messages("a", "b", "c", "d", "e")
		submit(t, p, ms[:2]...)
		synctest.Wait()
		submit(t, p, ms[2])
		close(let["a"])
		synctest.Wait()
		submit(t, p, ms[3:]...)
		close(let["b"])
		synctest.Wait()
		if want := "2 a b c"; r.String() != want && r.String() != "2 b a c" {
			t.Errorf("handled %s, want %s", &r, want)
		}
		close(let["c"])
		expect(t, "TRUE", ms...)
	})
}

// A batch that hangs does not hold up the others for long, and once it has
// ended everything is as before.
func TestBatchThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		p := start(t, batches(&r, let), func(s *Settings) { s.Count = 3 })
		defer p.Close()
		ms := numbered(9)
		next := ms
		more := func(n int, after time.Duration, want string) {
			t.Helper()
			submit(t, p, next[:n]...)
			next = next[n:]
			time.Sleep(after)
			synctest.Wait()
			if r.String() != want {
				t.Errorf("batches of %s, want %s", &r, want)
			}
		}
		more(2, 0, "2")
		more(1, patience-1, "2")
		more(1, 1, "2 2")
		more(1, patience, "2 2 1")
		for range 3 {
			let <- struct{}{}
		}
		synctest.Wait()
		more(2, patience-1, "2 2 1 2")
		more(2, 0, "2 2 1 2")
		close(let)
		expect(t, "TRUE", ms...)
		if want := "2 2 1 2 2"; r.String() != want {
			t.Errorf("batches of %s, want %s", &r, want)
		}
	})
}

func TestBatchThatFails(t *testing.T) {
	isBad := func(request []byte) bool { return string(request) == "bad" }
	alone := func(_ context.Context, request []byte) ([]byte, error) {
		if isBad(request) {
			return nil, errors.New("no")
		}
		return []byte("alone"), nil
	}
	each := func(result func(request []byte) Result) func(context.Context, [][]byte) []Result {
		return func(_ context.Context, requests [][]byte) []Result {
			var results []Result
			for _, request := range requests {
				results = append(results, result(request))
			}
			return results
		}
	}
	tests := []struct {
		name  string
		batch func(ctx context.Context, requests [][]byte) []Result
		good  string // what becomes of the good messages, of which the first is "first"
		first string
	}{
		{"all or none", each(func([]byte) Result { return Result{Err: errors.New("rolled back")} }), "alone", "alone"},
		{"permanent for all", each(func([]byte) Result { return Result{Err: permanent{}} }), "alone", "alone"},
		{"just the bad one", each(func(request []byte) Result {
			if isBad(request) {
				return Result{Err: permanent{}}
			}
			return Result{Reply: []byte("together")}
		}), "together", "together"},
		{"panic", each(func([]byte) Result { panic("no") }), "alone", "alone"},
		{"no results", func(context.Context, [][]byte) []Result { return nil }, "alone", "alone"},
		{"too few results", func(ctx context.Context, requests [][]byte) []Result {
			return allOK(ctx, requests[:1])
		}, "alone", "TRUE"},
		{"too many results", func(ctx context.Context, requests [][]byte) []Result {
			return append(each(func([]byte) Result { return Result{Err: permanent{}} })(ctx, requests), Result{})
		}, "alone", "alone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, both{alone, tt.batch}, nil)
				defer p.Close()
				ms := messages("first", "a", "bad", "b", "c")
				submit(t, p, ms...)
				expect(t, tt.first, ms[0])
				expect(t, tt.good, ms[1], ms[3], ms[4])
				expect(t, "FALSE: no", ms[2])
				if s := p.Stats(); s.Done != 4 || s.Failed != 1 || s.Queued+s.InFlight != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// An attempt as part of a batch is not one of the message's own.
func TestBatchIsNoAttempt(t *testing.T) {
	var r recorder
	p := start(t, both{
		func(_ context.Context, request []byte) ([]byte, error) {
			r.note("alone")
			return request, nil
		},
		func(context.Context, [][]byte) []Result {
			r.note("together")
			return nil
		},
	}, func(s *Settings) { s.Attempts, s.Count = 1, 1 })
	ms := messages("x", "y")
	submit(t, p, ms...)
	expect(t, "x", ms[0])
	expect(t, "y", ms[1])
	if want := "together alone alone"; r.String() != want {
		t.Errorf("%s, want %s", &r, want)
	}
}

// pitfall 60: one message in a thousand is poison. It ends up alone, and the
// others are as fast as ever: nobody waits while it rests.
func TestPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := func(_ context.Context, request []byte) ([]byte, error) {
			if string(request) == "500" {
				return nil, errors.New("poison")
			}
			return []byte("TRUE"), nil
		}
		p := start(t, both{work, func(ctx context.Context, requests [][]byte) []Result {
			results := allOK(ctx, requests)
			for i, request := range requests {
				if _, err := work(ctx, request); err != nil {
					for j := range results {
						results[j] = Result{Err: fmt.Errorf("message %d: %w", i, err)}
					}
				}
			}
			return results
		}}, func(s *Settings) { s.Count, s.Attempts = 1, 5 })
		defer p.Close()
		log := logTo(p)
		ms := numbered(1000)
		began := time.Now()
		submit(t, p, ms...)
		expect(t, "TRUE", ms[:500]...)
		expect(t, "TRUE", ms[501:]...)
		if took := time.Since(began); took != 0 {
			t.Errorf("the others took %v longer", took)
		}
		expect(t, "FALSE: poison", ms[500])
		if want := "error=poison attempts=5 bytes=3 message=500"; !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	})
}

// What one worker does under load is what many do: fewer and larger batches.
func TestBatchesUnderLoad(t *testing.T) {
	var mu sync.Mutex
	atOnce, most := 0, 0
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		atOnce += n
		most = max(most, atOnce)
	}
	p := start(t, both{
		func(ctx context.Context, request []byte) ([]byte, error) {
			count(1)
			defer count(-1)
			return ok(ctx, request)
		},
		func(ctx context.Context, requests [][]byte) []Result {
			count(1)
			defer count(-1)
			return allOK(ctx, requests)
		},
	}, nil)
	var peers sync.WaitGroup
	for range 32 {
		peers.Go(func() {
			for range 200 {
				m := messages("x")
				submit(t, p, m...)
				expect(t, "TRUE", m...)
			}
		})
	}
	peers.Wait()
	if most != 1 {
		t.Errorf("%d batches at once, want 1", most)
	}
}

// A batch is no larger than it may be, unless a single message is.
func TestBatchBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		p := start(t, batches(&r, let), func(s *Settings) { s.Count, s.BatchBytes = 1, 10 })
		defer p.Close()
		ms := messages("first", "1234", "5678", "90", "x", strings.Repeat("y", 20), "1234567890", "z")
		submit(t, p, ms[0])
		synctest.Wait()
		submit(t, p, ms[1:]...)
		close(let)
		expect(t, "TRUE", ms...)
		if want := "1 3 1 1 1 1"; r.String() != want {
			t.Errorf("batches of %s, want %s", &r, want)
		}
	})
}
