package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/job/internal/transport"
)

// gate is a handler that lets a message through for each value received.
func gate(let chan struct{}) one {
	return func(ctx context.Context, _ []byte) ([]byte, error) {
		select {
		case <-let:
			return []byte("TRUE"), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestOneWorkerKeepsTheOrder(t *testing.T) {
	var r recorder
	p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
		r.note(string(request))
		return request, nil
	}), func(s *Settings) { s.Count = 1 })
	ms := messages("a", "b", "c", "d")
	submit(t, p, ms[:3]...)
	submit(t, p, ms[3])
	for _, m := range ms {
		expect(t, string(m.body), m)
	}
	if r.String() != "a b c d" {
		t.Errorf("handled %s", &r)
	}
}

// pitfall 66: a full queue holds the transport back, and takes a message for
// each that leaves.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		p := start(t, gate(let), func(s *Settings) { s.Count, s.Queue = 1, 2 })
		defer p.Close()
		ms := numbered(6)
		took := make(chan int)
		go func() {
			n, err := p.Submit(t.Context(), asMessages(ms))
			if err != nil {
				t.Error(err)
			}
			took <- n
		}()
		for settled := range 3 {
			synctest.Wait()
			if s := p.Stats(); s.Queued != 2 || s.InFlight != 1 || s.Done != uint64(settled) {
				t.Errorf("after %d: %+v", settled, s)
			}
			select {
			case <-took:
				t.Fatal("Submit took more than there was room for")
			default:
			}
			let <- struct{}{}
		}
		if n := <-took; n != 6 {
			t.Errorf("Submit took %d of 6", n)
		}
		close(let)
		expect(t, "TRUE", ms...)
	})
}

// Those who wait for room get it in the order in which they came.
func TestRoomIsGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		var r recorder
		p := start(t, one(func(ctx context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			return gate(let)(ctx, request)
		}), func(s *Settings) { s.Count, s.Queue = 1, 1 })
		defer p.Close()
		for i := range 5 {
			go submit(t, p, messages(fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))...)
			synctest.Wait()
		}
		close(let)
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if want := "0a 0b 1a 1b 2a 2b 3a 3b 4a 4b"; r.String() != want {
			t.Errorf("handled %s, want %s", &r, want)
		}
	})
}

func TestSubmitGivesUp(t *testing.T) {
	tests := []struct {
		name  string
		cause func(p *Pool, cancel func())
		want  error
	}{
		{"context", func(_ *Pool, cancel func()) { cancel() }, context.Canceled},
		{"close", func(p *Pool, _ func()) { p.Close() }, transport.ErrStopped},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, gate(nil), func(s *Settings) { s.Count, s.Queue = 1, 2 })
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ms := numbered(10)
				go func() {
					synctest.Wait()
					tt.cause(p, cancel)
				}()
				n, err := p.Submit(ctx, asMessages(ms))
				// One is with the handler, two are queued.
				if n != 3 || !errors.Is(err, tt.want) {
					t.Errorf("Submit took %d, %v, want 3, %v", n, err, tt.want)
				}
				p.Close()
				expect(t, "given back", ms[:n]...)
				for _, m := range ms[n:] {
					if m.times.Load() != 0 {
						t.Errorf("message %s was settled and not taken", m.body)
					}
				}
			})
		})
	}
}

// Who gives up leaves room for those behind.
func TestGivingUpLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		p := start(t, gate(let), func(s *Settings) { s.Count, s.Queue = 1, 1 })
		defer p.Close()
		ms := numbered(4)
		submit(t, p, ms[:2]...)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error)
		go func() {
			_, err := p.Submit(ctx, asMessages(ms[2:3]))
			gaveUp <- err
		}()
		synctest.Wait()
		go submit(t, p, ms[3])
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(let)
		expect(t, "TRUE", ms[0], ms[1], ms[3])
		if ms[2].times.Load() != 0 {
			t.Error("a message was settled and not taken")
		}
	})
}

func TestSubmitAfterClose(t *testing.T) {
	p := start(t, one(ok), nil)
	p.Close()
	if n, err := p.Submit(t.Context(), asMessages(numbered(1))); n != 0 || !errors.Is(err, transport.ErrStopped) {
		t.Errorf("Submit took %d, %v", n, err)
	}
}

// The handler gets an empty message as such, not as nil.
func TestEmptyMessage(t *testing.T) {
	p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
		return fmt.Append(nil, request == nil, len(request)), nil
	}), nil)
	m := &message{over: make(chan struct{})}
	submit(t, p, m)
	expect(t, "false 0", m)
}

// pitfall 66: large messages hold the transport back although there are few, also
// when all of them are with the handler; one that is larger than all the room
// there is comes in alone.
func TestBackPressureByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		p := start(t, gate(let), func(s *Settings) { s.Count, s.QueueBytes, s.BatchBytes = 4, 100, 100 })
		defer p.Close()
		ms := messages(strings.Repeat("a", 50), strings.Repeat("b", 50), "c", strings.Repeat("d", 200), "e")
		done := make(chan struct{})
		go func() {
			defer close(done)
			submit(t, p, ms...)
		}()
		for settled, inFlight := range []int{2, 2, 1, 1, 1} {
			synctest.Wait()
			if s := p.Stats(); s.Queued != 0 || s.InFlight != inFlight || s.Done != uint64(settled) {
				t.Errorf("after %d: %+v", settled, s)
			}
			let <- struct{}{}
		}
		<-done
		for _, m := range ms {
			expect(t, "TRUE", m)
		}
		synctest.Wait()
		if p.bytes != 0 {
			t.Errorf("%d bytes are left in an empty pool", p.bytes)
		}
	})
}
