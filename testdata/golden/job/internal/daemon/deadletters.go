package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"example.com/job/internal/deadletters"
	"example.com/job/internal/transport"
)

// openLetters opens the dead letters. A service that can't keep what fails for
// good does not start: it would have to lose it.
func (s *service) openLetters(c *Configuration) error {
	letters, err := deadletters.Open(s.handover.Dirs.State)
	if err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	s.teardown.push("dead letters", func() error {
		s.replaying.Lock() // for good: what was tried again is settled, and gets noted
		return letters.Close()
	})
	letters.Configure(*c.Letters)
	if err := letters.Prepare(); err != nil {
		return err
	}
	s.set(func() { s.letters = letters })
	go letters.Count() // there may be many: so the first to ask need not wait
	return nil
}

// countLetters returns how many dead letters there are.
func (s *service) countLetters() int {
	s.mu.Lock()
	letters := s.letters
	s.mu.Unlock()
	if letters == nil {
		return 0
	}
	return letters.Count()
}

// Replay is what became of dead letters that were to be tried again.
type Replay struct {
	Done      int      `json:"done"`              // and dropped
	Failed    int      `json:"failed"`            // for good, again: there is a letter with the new reason
	GivenBack int      `json:"given_back"`        // by a service that stopped: their letters stay
	UnderWay  int      `json:"under_way"`         // when the time was over: those that get done are dropped
	Unknown   []string `json:"unknown,omitempty"` // ids that there is no letter with
	Stopped   string   `json:"stopped,omitempty"` // why not all were tried
}

// Bounds of what is tried again at a time: a part of the queue, so that what
// arrives meanwhile need not wait for thousands of letters.
const (
	replayLetters = 256
	replayBytes   = 16 << 20 // of messages, and one more message
)

// replayPause is how long what is done may wait to be dropped, together with
// others. After a crash it would be tried again.
const replayPause = time.Second

var errReplayTime = errors.New("the time is over")

// requestReplay has dead letters tried again, all that there are now if ids is
// empty, and returns what came of it. When the asker goes, or the time to wait is
// over (0: never), no more are begun with; those that are under way are dropped
// when they are done all the same.
func (s *service) requestReplay(ctx context.Context, ids []string, wait time.Duration) (*Replay, error) {
	select {
	case <-s.ready:
	case <-s.ended:
		return nil, errStopping
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if wait > 0 {
		timer := time.AfterFunc(wait, func() { stop(errReplayTime) })
		defer timer.Stop()
	}
	if !s.replaying.TryLock() {
		return nil, deadletters.ErrReplaying
	}
	r, end, err := s.newReplay(ids)
	if err != nil {
		s.replaying.Unlock()
		return nil, err
	}
	done := make(chan error, 1)
	go func() {
		err := r.run(ctx)
		result := r.snapshot()
		s.log.Logger().Info("dead letters were tried again", "done", result.Done, "failed", result.Failed,
			"given_back", result.GivenBack, "error", err)
		// Who is told that it is over may begin the next.
		end()
		s.replaying.Unlock()
		done <- err
	}()
	select {
	case err = <-done:
	case <-s.ended:
		stop(errStopping)
		err = <-done // the pool settles all there is
	case <-ctx.Done():
		result := r.snapshot()
		result.Stopped = context.Cause(ctx).Error()
		return &result, nil
	}
	result := r.snapshot()
	return &result, err
}

// replay hands the messages of dead letters to the pool, like those of a
// transport, and drops the letters of those that are done. It is the business of
// one goroutine, but for what the mutex guards.
type replay struct {
	store  *deadletters.Store
	queue  func(transport string) transport.Queue
	wanted map[string]bool // ids, and whether there was a letter; nil: all
	after  string          // id of the last letter that was submitted
	last   string          // id of the last letter to submit
	over   bool            // no more are submitted

	settled  chan *retried // has room for all that are under way
	underWay int
	bytes    int64    // of their messages
	finished []string // ids of letters to drop
	dropTime time.Time

	mu     sync.Mutex
	result Replay
}

// newReplay prepares a replay. The caller calls end after it, so that others are
// possible again.
func (s *service) newReplay(ids []string) (r *replay, end func(), err error) {
	// An upgrade may have left a process that has not ended its own yet.
	end, err = s.letters.BeginReplay()
	if err != nil {
		return nil, nil, err
	}
	r = &replay{
		store:    s.letters,
		queue:    s.pool.For,
		settled:  make(chan *retried, replayLetters),
		dropTime: time.Now().Add(replayPause),
	}
	if len(ids) > 0 {
		r.wanted = make(map[string]bool)
	}
	for _, id := range ids {
		r.wanted[id] = false
	}
	if r.last, err = s.letters.Last(); err != nil {
		end()
		return nil, nil, err
	}
	return r, end, nil
}

// run returns when nothing is under way any more: when all was tried, or after
// ctx has ended.
func (r *replay) run(ctx context.Context) error {
	var err error
	for {
		if cause := context.Cause(ctx); cause != nil && !r.over {
			r.stop(cause)
		}
		if !r.over {
			err = r.submit(ctx)
			r.over = r.over || err != nil
		}
		if r.underWay == 0 && r.over {
			break
		}
		r.await()
		if time.Now().After(r.dropTime) {
			_ = r.drop() // if it fails, with those that follow
		}
	}
	r.note(func(result *Replay) {
		if err == nil && result.Stopped == "" {
			result.Unknown = r.unseen()
		}
	})
	return errors.Join(err, r.drop())
}

// stop has no more submitted.
func (r *replay) stop(why error) {
	r.over = true
	r.note(func(result *Replay) { result.Stopped = why.Error() })
}

// submit hands over letters while there is room.
func (r *replay) submit(ctx context.Context) error {
	for !r.over && r.underWay <= replayLetters/2 && r.bytes <= replayBytes/2 {
		letters, more, err := r.store.After(r.after, r.wants, replayLetters-r.underWay, replayBytes-r.bytes)
		if err != nil {
			return err
		}
		for len(letters) > 0 {
			n := 1
			for n < len(letters) && letters[n].Transport == letters[0].Transport {
				n++
			}
			if !r.hand(ctx, letters[:n]) {
				return nil
			}
			letters = letters[n:]
		}
		r.over = !more
	}
	return nil
}

// wants reports whether the letter with an id is to be tried again.
func (r *replay) wants(id string) bool {
	_, wanted := r.wanted[id]
	return id <= r.last && (wanted || r.wanted == nil)
}

// hand submits letters of one transport, unless the queue is full for longer than
// what is finished may wait. It reports whether all of them were taken.
func (r *replay) hand(ctx context.Context, letters []deadletters.Letter) bool {
	messages := make([]transport.Message, len(letters))
	for i, l := range letters {
		messages[i] = &retried{letter: l, settled: r.settled}
		r.store.Retry(l.Message)
	}
	ctx, cancel := context.WithTimeout(ctx, replayPause)
	defer cancel()
	n, err := r.queue(letters[0].Transport).Submit(ctx, messages)
	if errors.Is(err, transport.ErrStopped) {
		r.stop(err)
	}
	for _, l := range letters[n:] {
		r.store.Retried(l.Message, false)
	}
	for _, l := range letters[:n] {
		r.after = l.ID
		r.bytes += int64(len(l.Message))
		if r.wanted != nil {
			r.wanted[l.ID] = true
		}
	}
	r.underWay += n
	r.note(func(result *Replay) { result.UnderWay += n })
	return n == len(letters)
}

// await waits until something is settled, or what is finished is to be dropped.
func (r *replay) await() {
	if r.underWay == 0 {
		return
	}
	var due <-chan time.Time
	if len(r.finished) > 0 {
		timer := time.NewTimer(time.Until(r.dropTime))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case m := <-r.settled:
		r.take(m)
	case <-due:
	}
}

// take notes what became of a message. One that failed again is another letter by
// now; should it be none, the old one stays, as does that of a message which was
// given back.
func (r *replay) take(m *retried) {
	r.underWay--
	r.bytes -= int64(len(m.letter.Message))
	back := errors.Is(m.err, transport.ErrStopped)
	kept := r.store.Retried(m.letter.Message, m.err != nil && !back)
	if m.err == nil || kept {
		r.finished = append(r.finished, m.letter.ID)
	}
	r.note(func(result *Replay) {
		result.UnderWay--
		switch {
		case m.err == nil:
			result.Done++
		case back:
			result.GivenBack++
		default:
			result.Failed++
		}
	})
}

// drop drops the letters that are finished. The next time comes so late that all
// of it takes a tenth of the time at most, however large the files.
func (r *replay) drop() error {
	begin := time.Now()
	if len(r.finished) > 0 {
		if _, _, err := r.store.DropIDs(r.finished); err != nil {
			r.dropTime = time.Now().Add(replayPause)
			return fmt.Errorf("%d dead letters were tried, and are still there: %w", len(r.finished), err)
		}
		r.finished = r.finished[:0]
	}
	r.dropTime = time.Now().Add(max(replayPause, 10*time.Since(begin)))
	return nil
}

// unseen returns the ids that there was no letter with, in order.
func (r *replay) unseen() (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(r.wanted)) {
		if !r.wanted[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// note changes the result.
func (r *replay) note(change func(*Replay)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.result)
}

func (r *replay) snapshot() Replay {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result
}

// retried is the message of a dead letter. Nobody waits for its reply any more.
type retried struct {
	letter  deadletters.Letter
	err     error
	settled chan<- *retried
}

// Body implements transport.Message.
func (m *retried) Body() []byte { return m.letter.Message }

// ID is that which its transport gave the message, so that it is the same one to
// the handler.
func (m *retried) ID() string { return m.letter.Key }

// Settle implements transport.Message.
func (m *retried) Settle(_ []byte, err error) {
	m.err = err
	m.settled <- m
}
