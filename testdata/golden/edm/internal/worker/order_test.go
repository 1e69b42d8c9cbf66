package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/edm/internal/config"
	"example.com/edm/internal/deadletters"
	"example.com/edm/internal/transport"
)

// A keyed message has the key that its body begins with, unless that is "-".
type keyed struct{ *message }

func (m keyed) Key(of string) (string, bool) {
	return string(m.body[:1]), of == "letter" && m.body[0] != '-'
}

func submitKeyed(t *testing.T, p *Pool, ms ...*message) {
	t.Helper()
	var all []transport.Message
	for _, m := range ms {
		all = append(all, keyed{m})
	}
	if n, err := p.Submit(t.Context(), all); n != len(all) || err != nil {
		t.Errorf("Submit took %d of %d, %v", n, len(all), err)
	}
}

func byLetter(change func(s *Settings)) func(s *Settings) {
	return func(s *Settings) {
		s.OrderedBy = "letter"
		if change != nil {
			change(s)
		}
	}
}

// A message is handed over when the one before it with its key is settled, and
// no later than others.
func TestOrderedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(map[string]chan error)
		ms := messages("a1", "a2", "b1", "a3", "-1", "-2", "b2")
		for _, m := range ms {
			let[string(m.body)] = make(chan error)
		}
		p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			return []byte("TRUE"), <-let[string(request)]
		}), byLetter(func(s *Settings) {
			s.Backoff = config.Duration(time.Hour)
			s.BackoffMax = s.Backoff
		}))
		defer p.Close()
		for _, m := range ms {
			submitKeyed(t, p, m)
			synctest.Wait()
		}
		step := func(body string, err error, after time.Duration, want string) {
			t.Helper()
			if body != "" {
				let[body] <- err
			}
			time.Sleep(after)
			synctest.Wait()
			if r.String() != want {
				t.Errorf("handled %s, want %s", &r, want)
			}
		}
		step("", nil, 0, "a1 b1 -1 -2")
		step("a1", errors.New("no"), 0, "a1 b1 -1 -2") // rests, and a2 waits
		step("b1", nil, 0, "a1 b1 -1 -2 b2")           // b does not
		if s := p.Stats(); s.Queued != 3 {
			t.Errorf("%+v", s)
		}
		step("", nil, time.Hour, "a1 b1 -1 -2 b2 a1")
		step("a1", permanent{}, 0, "a1 b1 -1 -2 b2 a1 a2")
		step("a2", nil, 0, "a1 b1 -1 -2 b2 a1 a2 a3")
		for _, body := range []string{"a3", "b2", "-1", "-2"} {
			let[body] <- nil
		}
		expect(t, "TRUE: never", ms[0])
		expect(t, "TRUE", ms[1:]...)
		synctest.Wait()
		if len(p.lanes) != 0 || p.behind != 0 {
			t.Errorf("%d lanes are left, %d messages behind", len(p.lanes), p.behind)
		}
	})
}

// The next message of a key waits until the one before it is settled, not only
// handled.
func TestOrderedBySettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		var r recorder
		p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			return nil, nil
		}), byLetter(nil))
		defer p.Close()
		if _, err := p.Submit(t.Context(), []transport.Message{slowKeyed{let, "1"}, slowKeyed{let, "2"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if r.String() != "1" {
			t.Errorf("handled %s before the first was settled", &r)
		}
		close(let)
		synctest.Wait()
		if r.String() != "1 2" {
			t.Errorf("handled %s", &r)
		}
	})
}

type slowKeyed struct {
	let  chan struct{}
	body string
}

func (m slowKeyed) Body() []byte              { return []byte(m.body) }
func (m slowKeyed) Settle([]byte, error)      { <-m.let }
func (m slowKeyed) Key(string) (string, bool) { return "", true } // "" is a key, too

// A batch has one message of a key at most.
func TestOrderedBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		p := start(t, both{func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			return []byte("TRUE"), nil
		}, func(ctx context.Context, requests [][]byte) []Result {
			r.note(fmt.Sprintf("%s", requests))
			return allOK(ctx, requests)
		}}, byLetter(nil))
		defer p.Close()
		ms := messages("a1", "a2", "b1", "a3", "c1", "-1", "-2", "b2", "a4")
		submitKeyed(t, p, ms...)
		expect(t, "TRUE", ms...)
		if want := "[a1 b1 c1 -1 -2] [a2 b2] a3 a4"; r.String() != want {
			t.Errorf("handled %s, want %s", &r, want)
		}
	})
}

// Pitfall 66: what waits for its key has its place in the queue.
func TestOrderedByHoldsTransportsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		p := start(t, gate(let), byLetter(func(s *Settings) { s.Queue = 3 }))
		defer p.Close()
		ms := messages(strings.Fields("a a a a a a a a a a")...)
		go submitKeyed(t, p, ms...)
		for left := range 6 {
			synctest.Wait()
			if s := p.Stats(); s.Queued != 3 || s.InFlight != 1 || s.Done != uint64(left) {
				t.Errorf("%+v", s)
			}
			let <- struct{}{}
		}
		close(let)
		expect(t, "TRUE", ms...)
	})
}

// pitfall 62: when a message goes back, so do all behind it, without an attempt,
// also those that come later: its sender has to begin again with it.
func TestOrderedByWhenDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			switch string(request) {
			case "a1":
				return nil, errors.New("no")
			case "b1":
				<-let
			}
			return []byte("TRUE"), nil
		}), byLetter(func(s *Settings) {
			s.Queue = 6
			s.Backoff = config.Duration(time.Hour)
			s.BackoffMax = s.Backoff
		}))
		defer p.Close()
		a, b := messages("a1", "a2", "a3"), messages("b1", "b2", "b3")
		submitKeyed(t, p, append(a, b...)...)
		synctest.Wait()
		blocked := messages("a4", "b4", "a5")
		go submitKeyed(t, p, blocked...)
		synctest.Wait()
		drained := make(chan error)
		go func() { drained <- p.Drain(t.Context()) }()
		synctest.Wait()
		expect(t, "given back", append(a, blocked[0], blocked[2])...)
		late := messages("a6", "c1")
		submitKeyed(t, p, late...)
		expect(t, "given back", late[0])
		expect(t, "TRUE", late[1])
		close(let)
		if err := <-drained; err != nil {
			t.Error(err)
		}
		expect(t, "TRUE", append(b, blocked[1])...)
		if want := "a1 b1 a1 c1 b2 b3 b4"; r.String() != want {
			t.Errorf("handled %s, want %s", &r, want)
		}
		if s := p.Stats(); s.Done != 5 || s.Failed != 0 {
			t.Errorf("%+v", s)
		}
		if p.Stalled() {
			t.Error("stalled")
		}
	})
}

func TestOrderedByWhenClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, gate(nil), byLetter(nil))
		ms := messages("a1", "a2", "b1", "b2", "b3", "-1")
		submitKeyed(t, p, ms...)
		synctest.Wait()
		p.Close()
		expect(t, "given back", ms...)
		synctest.Wait()
		if s := p.Stats(); s != (Stats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// A link is a message in a random test, which knows the one before it with the
// same key.
type link struct {
	*message
	key    string
	before *link
}

func (m *link) Key(string) (string, bool) { return m.key, m.key != "" }

// mayBeHandled says what is wrong if the handler gets the message now.
func (m *link) mayBeHandled() error {
	if m.before == nil {
		return nil
	}
	select {
	case <-m.before.over:
	default:
		return errors.New("the one before it is not settled")
	}
	if errors.Is(m.before.err, transport.ErrStopped) {
		return errors.New("the one before it was given back")
	}
	return nil
}

// a storm is a handler that fails at random, and dead letters that do so.
type storm struct {
	links   sync.Map // by the body
	handled atomic.Int64
	wrong   atomic.Pointer[string]

	mu   sync.Mutex
	dead map[string]int // letters
}

func (s *storm) check(request []byte) {
	s.handled.Add(1)
	m, _ := s.links.Load(string(request))
	if err := m.(*link).mayBeHandled(); err != nil {
		text := fmt.Sprintf("message %s of %q: %v", request, m.(*link).key, err)
		s.wrong.Store(&text)
	}
}

func (s *storm) work() ([]byte, error) {
	switch rand.IntN(12) {
	case 0:
		return nil, errors.New("no")
	case 1:
		return nil, permanent{}
	case 2:
		return nil, unavailable{}
	case 3:
		panic("no")
	}
	return []byte("TRUE"), nil
}

func (s *storm) Handle(_ context.Context, request []byte) ([]byte, error) {
	s.check(request)
	return s.work()
}

func (s *storm) HandleBatch(_ context.Context, requests [][]byte) []Result {
	seen := make(map[string]bool)
	for _, request := range requests {
		s.check(request)
		m, _ := s.links.Load(string(request))
		if key := m.(*link).key; key != "" && seen[key] {
			text := "two of a key in a batch"
			s.wrong.Store(&text)
		} else {
			seen[key] = true
		}
	}
	var results []Result
	all := rand.IntN(4) == 0
	_, err := s.work()
	for range requests[:len(requests)-rand.IntN(2)] {
		if !all {
			_, err = s.work()
		}
		results = append(results, Result{[]byte("TRUE"), err})
	}
	return results
}

func (s *storm) Add(letter deadletters.Letter) error {
	if rand.IntN(3) == 0 {
		return errors.New("disk full")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead[string(letter.Message)]++
	return nil
}

// Whatever happens, messages with the same key are handled one after the other, in
// the order of Submit, and each is settled once; those that failed are dead letters.
func TestOrderStorm(t *testing.T) {
	for round := range 12 {
		s := &storm{dead: make(map[string]int)}
		var handler Handler = s
		if round%2 == 0 {
			handler = one(s.Handle)
		}
		settings := func() Settings {
			s := *Default()
			s.Count, s.Queue, s.Batch, s.Attempts = 1+rand.IntN(8), 1+rand.IntN(64), 1+rand.IntN(16), 2
			s.Backoff, s.BackoffMax = config.Duration(time.Millisecond), config.Duration(time.Millisecond)
			s.OrderedBy = "key"
			return s
		}
		p := New(handler, settings(), Options{Log: slog.New(slog.DiscardHandler), DeadLetters: s})
		var peers sync.WaitGroup
		var taken [4][]*link
		stop := make(chan struct{})
		for peer := range taken {
			peers.Go(func() { taken[peer] = s.submit(t, p, peer, stop) })
		}
		for range 100 {
			p.Configure(settings())
			time.Sleep(time.Duration(rand.IntN(int(time.Millisecond))))
		}
		if round%3 == 0 {
			p.Close()
		}
		close(stop)
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		peers.Wait()
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		p.Close()
		if text := s.wrong.Load(); text != nil {
			t.Fatalf("round %d: %s", round, *text)
		}
		s.verify(t, slices.Concat(taken[:]...), round%3 == 0)
		if s.handled.Load() < 100 {
			t.Errorf("round %d: only %d were handled", round, s.handled.Load())
		}
	}
}

// submit hands over messages, of three keys and of none, until stop, and returns
// those that were taken.
func (s *storm) submit(t *testing.T, p *Pool, peer int, stop chan struct{}) (taken []*link) {
	last := make(map[string]*link)
	for n := 0; ; {
		select {
		case <-stop:
			return taken
		default:
		}
		var ms []transport.Message
		for range 1 + rand.IntN(20) {
			m := &link{message: &message{body: fmt.Append(nil, peer, " ", n), over: make(chan struct{})}}
			if k := rand.IntN(4); k > 0 {
				m.key = fmt.Sprint(peer, "/", k)
				m.before = last[m.key]
				last[m.key] = m
			}
			n++
			s.links.Store(string(m.body), m)
			ms = append(ms, m)
		}
		got, err := p.Submit(t.Context(), ms)
		for _, m := range ms[:got] {
			taken = append(taken, m.(*link))
		}
		if err != nil {
			return taken
		}
	}
}

// verify looks at how the messages were settled.
func (s *storm) verify(t *testing.T, ms []*link, wasClosed bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range ms {
		if n := m.times.Load(); n != 1 {
			t.Fatalf("message %s was settled %d times", m.body, n)
		}
		failed := m.err != nil && !errors.Is(m.err, transport.ErrStopped)
		switch letters := s.dead[string(m.body)]; {
		case failed && letters != 1, !failed && letters > 0 && !wasClosed:
			t.Fatalf("message %s was settled with %v, and there are %d letters of it", m.body, m.err, letters)
		case m.err == nil && m.mayBeHandled() != nil:
			t.Fatalf("message %s was done: %v", m.body, m.mayBeHandled())
		}
	}
}

// BenchmarkOrderedBy is what an order costs: none, of a key for each message of a
// batch, and of one key for all, which is no batch at all.
func BenchmarkOrderedBy(b *testing.B) {
	const n = 64
	for _, keys := range []int{0, n, 1} {
		b.Run(fmt.Sprint("keys=", keys), func(b *testing.B) {
			settings := *Default()
			if keys > 0 {
				settings.OrderedBy = "key"
			}
			p := New(both{ok, allOK}, settings, Options{Log: slog.New(slog.DiscardHandler)})
			defer p.Close()
			b.ReportAllocs()
			var settled sync.WaitGroup
			ms := make([]transport.Message, n)
			for i := range ms {
				ms[i] = countedKey{counter{&settled}, fmt.Sprint(i % max(1, keys))}
			}
			for b.Loop() {
				settled.Add(n)
				_, _ = p.Submit(b.Context(), ms)
				settled.Wait()
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

type countedKey struct {
	counter
	key string
}

func (c countedKey) Key(string) (string, bool) { return c.key, true }
