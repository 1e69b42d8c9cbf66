package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/fee/internal/config"
	"example.com/fee/internal/transport"
)

// A message remembers how it was settled.
type message struct {
	body  []byte
	times atomic.Int32 // settled
	reply []byte
	err   error
	over  chan struct{} // closed when settled
}

func (m *message) Body() []byte { return m.body }

func (m *message) Settle(reply []byte, err error) {
	if m.times.Add(1) == 1 {
		m.reply, m.err = reply, err
		close(m.over)
	}
}

// outcome waits for the message and says what became of it.
func (m *message) outcome() string {
	<-m.over
	switch {
	case m.times.Load() > 1:
		return "settled twice"
	case errors.Is(m.err, transport.ErrStopped):
		return "given back"
	case m.err != nil:
		return fmt.Sprintf("%s: %v", m.reply, m.err)
	}
	return string(m.reply)
}

func messages(bodies ...string) []*message {
	var ms []*message
	for _, body := range bodies {
		ms = append(ms, &message{body: []byte(body), over: make(chan struct{})})
	}
	return ms
}

func numbered(n int) []*message {
	var bodies []string
	for i := range n {
		bodies = append(bodies, fmt.Sprint(i))
	}
	return messages(bodies...)
}

// submit hands the messages over and fails the test if the pool does not take
// them all.
func submit(t *testing.T, p *Pool, ms ...*message) {
	t.Helper()
	if n, err := p.Submit(t.Context(), asMessages(ms)); n != len(ms) || err != nil {
		t.Errorf("Submit took %d of %d, %v", n, len(ms), err)
	}
}

func asMessages(ms []*message) (all []transport.Message) {
	for _, m := range ms {
		all = append(all, m)
	}
	return all
}

// expect waits for the messages and compares what became of them.
func expect(t *testing.T, want string, ms ...*message) {
	t.Helper()
	for _, m := range ms {
		if got := m.outcome(); got != want {
			t.Errorf("message %.40q: %q, want %q", m.body, got, want)
		}
	}
}

// one is a Handler, both a BatchHandler.
type one func(ctx context.Context, request []byte) ([]byte, error)

func (f one) Handle(ctx context.Context, request []byte) ([]byte, error) { return f(ctx, request) }

type both struct {
	one
	batch func(ctx context.Context, requests [][]byte) []Result
}

func (f both) HandleBatch(ctx context.Context, requests [][]byte) []Result {
	return f.batch(ctx, requests)
}

func ok(context.Context, []byte) ([]byte, error) { return []byte("TRUE"), nil }

func allOK(_ context.Context, requests [][]byte) []Result {
	results := make([]Result, len(requests))
	for i := range results {
		results[i].Reply = []byte("TRUE")
	}
	return results
}

type permanent struct{}

func (permanent) Error() string   { return "never" }
func (permanent) Permanent() bool { return true }

type unavailable struct{}

func (unavailable) Error() string     { return "away" }
func (unavailable) Unavailable() bool { return true }

// start starts a pool with the default settings, changed.
func start(t *testing.T, handler Handler, change func(s *Settings)) *Pool {
	t.Helper()
	return startWith(t, Options{}, handler, change)
}

func startWith(t *testing.T, options Options, handler Handler, change func(s *Settings)) *Pool {
	t.Helper()
	s := *Default()
	if change != nil {
		change(&s)
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	p := New(handler, s, options)
	t.Cleanup(p.Close)
	return p
}

// recorder notes what the handler gets.
type recorder struct {
	mu    sync.Mutex
	notes []string
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, text)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.notes, " ")
}

// logTo makes the pool log to the buffer that it returns, as text.
func logTo(p *Pool) *bytes.Buffer {
	var buffer bytes.Buffer
	p.log = slog.New(slog.NewTextHandler(&buffer, nil))
	return &buffer
}

func TestSettings(t *testing.T) {
	report := func(s *Settings) (problems []string) {
		s.Validate(func(key, reason string) { problems = append(problems, key+" "+reason) })
		return problems
	}
	if problems := report(Default()); problems != nil {
		t.Errorf("the defaults are invalid: %q", problems)
	}
	got := strings.Join(report(&Settings{Batch: 10001, BackoffMax: config.Duration(-time.Second)}), "\n")
	want := `count must be at least 1, is 0
queue must be at least 1, is 0
batch must be at most 10000, is 10001
queue_bytes must be more than 0B
batch_bytes must be more than 0B, and at most queue_bytes, 0B, is 0B
attempts must be at least 1, is 0
timeout must be more than 0s, is 0s
backoff must be more than 0s, is 0s
backoff_max must be at least backoff, 0s, is -1s`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPause(t *testing.T) {
	s := &Settings{Backoff: config.Duration(100 * time.Millisecond), BackoffMax: config.Duration(time.Second)}
	for failed, bound := range map[int]time.Duration{
		1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 5: time.Second, 1000: time.Second,
	} {
		var longest, shortest time.Duration = 0, time.Hour
		for range 1000 {
			longest, shortest = max(longest, pause(s, failed)), min(shortest, pause(s, failed))
		}
		// pitfall 63: from the first pause on, the whole range is used.
		if longest > bound || longest < bound*9/10 || shortest <= 0 || shortest > bound/10 {
			t.Errorf("after %d failures: from %v to %v, want up to %v", failed, shortest, longest, bound)
		}
	}
}

// What is put back, by several in any order, comes out in the order of places.
func TestPutBack(t *testing.T) {
	for range 200 {
		var r ring
		base := ^uint32(19) // the places begin again at 0
		var taken [][]job
		for i := range uint32(40) {
			r.push(job{place: base + i})
		}
		for r.len > 10 {
			var jobs []job
			for range 1 + rand.IntN(min(7, r.len)) {
				jobs = append(jobs, r.pop())
			}
			taken = append(taken, jobs)
		}
		for _, i := range rand.Perm(len(taken)) {
			r.putBack(taken[i])
		}
		r.putBack(nil)
		for i := range uint32(40) {
			if got := r.pop().place; got != base+i {
				t.Fatalf("popped %d, want %d", got, base+i)
			}
		}
	}
}

func TestRing(t *testing.T) {
	var r ring
	var want []int
	for i := range 10000 {
		// Mostly growing, then mostly shrinking.
		if grow := i%7 < 4; grow == (i < 5000) {
			r.push(job{place: uint32(i)})
			want = append(want, i)
		} else if len(want) > 0 {
			if got := int(r.pop().place); got != want[0] {
				t.Fatalf("step %d: popped %d, want %d", i, got, want[0])
			}
			want = want[1:]
		}
		if r.len != len(want) {
			t.Fatalf("step %d: length %d, want %d", i, r.len, len(want))
		}
	}
}
