package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/job/internal/deadletters"
	"example.com/job/internal/transport"
)

// bench is a queue that does with the messages of a replay what a pool could: it
// keeps those that begin with "bad" as new letters, and does the others.
type bench struct {
	store *deadletters.Store

	mu          sync.Mutex
	underWay    int
	bytes       int
	most, bulky int // that were under way at once
	submitted   []string
}

func (b *bench) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	for i, m := range messages {
		if ctx.Err() != nil {
			return i, ctx.Err()
		}
		b.mu.Lock()
		b.submitted = append(b.submitted, string(m.Body()[:min(4, len(m.Body()))]))
		b.underWay++
		b.bytes += len(m.Body())
		b.most, b.bulky = max(b.most, b.underWay), max(b.bulky, b.bytes)
		b.mu.Unlock()
		go b.handle(m)
	}
	return len(messages), nil
}

func (b *bench) handle(m transport.Message) {
	var err error
	if bytes.HasPrefix(m.Body(), []byte("bad")) {
		err = errors.New("bad again")
		letter := deadletters.Letter{Time: time.Now(), Transport: "tcp", Message: m.Body(), Reason: err.Error(), Attempts: 9}
		if aerr := b.store.Add(letter); aerr != nil {
			err = fmt.Errorf("%w: %w", err, aerr)
		}
	}
	b.mu.Lock()
	b.underWay--
	b.bytes -= len(m.Body())
	b.mu.Unlock()
	m.Settle(nil, err)
}

// replayAll replays letters with these messages, of a store that has room for
// others or not.
func replayAll(t *testing.T, hasRoom bool, messages ...string) (*bench, Replay) {
	t.Helper()
	store, err := deadletters.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for _, m := range messages {
		if err := store.Add(deadletters.Letter{Time: time.Now(), Transport: "tcp", Message: []byte(m), Attempts: 3}); err != nil {
			t.Fatal(err)
		}
	}
	if settings := *deadletters.Default(); !hasRoom {
		settings.TotalSize = 1
		store.Configure(settings)
	}
	s := &service{letters: store}
	r, end, err := s.newReplay(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	b := &bench{store: store}
	r.queue = func(string) transport.Queue { return b }
	if err := r.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b, r.snapshot()
}

// What fails again is a new letter by then, and the old one is dropped: also where
// there is no room for new ones, and of equal messages just as many.
func TestReplayFailsAgain(t *testing.T) {
	t.Parallel()
	for _, hasRoom := range []bool{true, false} {
		b, result := replayAll(t, hasRoom, "good", "bad", "bad", "good", "bad 2", "good")
		if result.Done != 3 || result.Failed != 3 || result.UnderWay != 0 {
			t.Errorf("the result is %+v", result)
		}
		var left []string
		for l, err := range b.store.Letters() {
			if err != nil || l.Attempts != 9 || l.Reason != "bad again" {
				t.Errorf("there is %+v, %v", l, err)
			}
			left = append(left, string(l.Message))
		}
		slices.Sort(left)
		if !slices.Equal(left, []string{"bad", "bad", "bad 2"}) {
			t.Errorf("the letters are %q", left)
		}
	}
}

// Letters that are not replaced by new ones stay.
func TestReplayKeepsWhatNobodyElseHas(t *testing.T) {
	t.Parallel()
	store, err := deadletters.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	letter := deadletters.Letter{Message: []byte("bad")}
	if err := store.Add(letter); err != nil {
		t.Fatal(err)
	}
	r := &replay{store: store, underWay: 1}
	store.Retry(letter.Message)
	r.take(&retried{letter: letter, err: errors.New("bad again")})
	if len(r.finished) != 0 {
		t.Error("a letter would be dropped that there is no other of")
	}
}

// However many and however large the letters, few are in memory at once; all of
// them have their turn, in order.
func TestReplayIsBounded(t *testing.T) {
	t.Parallel()
	var many []string
	for n := range 700 {
		many = append(many, fmt.Sprintf("%04d", n))
	}
	b, result := replayAll(t, true, many...)
	if b.most > replayLetters || result.Done != len(many) || !slices.Equal(b.submitted, many) {
		t.Errorf("%d were under way at once, %+v, %d submitted", b.most, result, len(b.submitted))
	}
	large := strings.Repeat("x", replayBytes/3)
	b, result = replayAll(t, true, slices.Repeat([]string{large}, 5)...)
	if b.bulky > replayBytes+len(large) || result.Done != 5 {
		t.Errorf("%d bytes were under way at once, %+v", b.bulky, result)
	}
}

// Pitfall 60: what fails again and again is tried once in a replay, though its new
// letter comes after the others.
func TestReplayEnds(t *testing.T) {
	t.Parallel()
	var many []string
	for n := range 2 * replayLetters {
		many = append(many, fmt.Sprint("bad ", n))
	}
	if b, result := replayAll(t, true, many...); result.Failed != len(many) || len(b.submitted) != len(many) {
		t.Errorf("%+v after %d attempts", result, len(b.submitted))
	}
}

// Who is told that a replay is over may begin the next at once.
func TestReplaysFollowEachOther(t *testing.T) {
	r := newReloadable(t)
	r.ready = make(chan struct{})
	close(r.ready)
	for n := range 100 {
		if _, err := r.requestReplay(t.Context(), nil, 0); err != nil {
			t.Fatalf("replay %d: %v", n, err)
		}
	}
}
