// Package worker is the pool between the transports and the handler: a bounded
// queue, and workers that take messages from it, hand them to the handler, try
// again what failed, and settle each message once.
package worker

import (
	"cmp"
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"

	"example.com/fee/internal/transport"
)

// Pool is the queue and its workers. Its methods may be called from any
// goroutine.
//
// # Batches
//
// A BatchHandler gets what is waiting when a worker is free, up to a limit:
// nothing ever waits for a batch to fill. While one batch is with the handler
// no other starts, so that the next gathers what arrives, unless a full one is
// waiting already or the first takes long. One committer with large batches
// stores several times as much as many with small ones.
//
// # Failure
//
// A message that failed rests and then goes to the next free worker, ahead of
// the queue; nobody waits for it meanwhile. What failed in a batch is tried
// again at once, alone. A message that failed for good is kept as a dead letter,
// and settled when it is: until then it rests.
//
// A message that ended the process, and is delivered again, is handed over alone,
// and no other such message beside it: of several that were with the handler when
// the process ended one is to blame, and it takes none of the others with it once
// more. When that has happened Settings.Attempts times it has failed for good.
//
// Something that is unavailable is no fault of a message. The attempt does not
// count, the message goes back to the front of the queue, and the whole pool
// pauses; then one worker tries with what is in front, a batch if it is one, and
// the others follow when it has succeeded. Meanwhile the queue fills, and holds
// the transports back.
//
// # Order
//
// Messages are taken from the queue in the order of Submit. With one worker
// they are handled in that order too, except those that fail.
//
// With Settings.OrderedBy, messages with the same key are handled one after the
// other: the next comes into the queue when the one before it is settled,
// however often that has failed, so that no batch has two. If one goes back to
// its sender because the service stops, so do all that follow it. Other messages
// pass by, as far as the queue has room beside those that wait.
type Pool struct {
	handler   Handler
	batcher   BatchHandler // the same, if it takes batches
	options   Options
	log       *slog.Logger
	ctx       context.Context // of all attempts; ends with Close
	cancel    context.CancelFunc
	orderedBy string
	anonymous *source

	mu       sync.Mutex
	settings *Settings // replaced as a whole, never written to
	draining bool
	closed   bool

	// Where a message waits: for any worker; to be tried again, alone; for the
	// same with no other beside it, since a process has ended with it; for the
	// time of its next attempt; for one with the same key, and how many do; to be
	// given back, since such a one was; with a transport, for room.
	queue   ring
	again   ring
	suspect ring
	resting map[*rest]struct{}
	lanes   map[string]*lane
	behind  int
	refused ring
	blocked list.List // of *submission
	places  uint32    // given to jobs

	// Where it is otherwise. What has been settled is counted in stats.
	handled  int // with the handler, or on their way to the dead letters
	settling int // being settled

	bytes int64 // of all messages that nobody is settling

	ready    sync.Cond // a worker may find something to do
	workers  map[*worker]struct{}
	idle     int // workers that wait for ready
	woken    int // workers that were woken and have not looked yet
	batching int // workers that keep others from starting a batch
	arrivals int // calls of Submit since the last batch began
	company  int // so many batches more, others are expected to arrive with the first

	outage   outage
	unburied trouble // with the dead letters
	unnoted  trouble // with the journal

	suspecting bool // the handler has one of suspect

	// What Stalled has seen; zero again when a worker takes something.
	lying time.Time // since when work lies beside idle workers
	still time.Time // since when nothing seems to move

	stats Stats
	empty chan struct{} // closed when no message is left; nil if nobody waits for that
}

var _ transport.Queue = (*Pool)(nil)

// Stats says what the pool is doing and has done since it was made.
type Stats struct {
	Workers  int    // running
	Paused   bool   // something that the handler needs is not available
	Queued   int    // messages waiting, also for their next attempt or for one with the same key
	InFlight int    // messages with the handler, or on their way to the dead letters
	Done     uint64 // messages handled
	Failed   uint64 // messages failed for good
	Panics   uint64 // attempts that ended in a panic
	Retries  uint64 // attempts with a message that had failed before, alone or in a batch
}

// Options are what a pool works with. What is nil, it does without.
type Options struct {
	Log *slog.Logger // nil: slog.Default()

	// Classify tells the class of an error that does not tell its own; nil:
	// Retry. It is called from several goroutines.
	Classify func(error) Class

	// DeadLetters keep what failed for good; nil: it is only logged.
	DeadLetters DeadLetters

	// Attempts note which messages are with the handler, for the next process;
	// nil: a message that ends the process does so each time that it is
	// delivered. The journal is to be closed after the pool.
	Attempts *Journal
}

// New starts a pool. The settings must be valid.
func New(handler Handler, settings Settings, options Options) *Pool {
	p := &Pool{
		handler:   handler,
		options:   options,
		log:       cmp.Or(options.Log, slog.Default()),
		orderedBy: settings.OrderedBy,
		settings:  &settings,
		resting:   make(map[*rest]struct{}),
		lanes:     make(map[string]*lane),
		workers:   make(map[*worker]struct{}),
	}
	p.anonymous = &source{pool: p}
	p.batcher, _ = handler.(BatchHandler)
	p.ready.L = &p.mu
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.staff()
	return p
}

// Configure changes the settings, which must be valid. What waits stays in its
// order and what is with the handler is left to end as it began. A worker that
// is too many ends after what it is doing.
func (p *Pool) Configure(settings Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.settings = &settings
	p.staff()
	p.admit()
	p.wakeAll()
}

// Drain waits until no message is queued or with the handler; it returns the
// error of ctx if that ends before. From the first call on nothing rests, nor
// does the pool: what would have rested has one more attempt at once, and then
// goes back to its sender, settled with transport.ErrStopped, as does a message
// that can't become a dead letter. Only a permanent error is a failure for good
// from then on.
//
// Drain does not keep a transport from submitting. It is called when they have
// been told to stop, and not only after they have: they wait for their messages
// to be settled, and the rests would go on until then.
func (p *Pool) Drain(ctx context.Context) error {
	p.mu.Lock()
	p.draining = true
	for r := range p.resting {
		p.unrest(r)
	}
	p.forgetOutage()
	p.wake()
	p.mu.Unlock()
	return p.untilEmpty(ctx)
}

// Close ends the pool at once: Submit takes nothing more, the contexts of all
// attempts end, and every message is settled with transport.ErrStopped, also
// those with the handler: what it still makes of them is dropped. One that is
// just becoming a dead letter may be both. Close returns when all are settled and
// does not wait for the handler. It may be called twice.
func (p *Pool) Close() {
	p.mu.Lock()
	back, attempts := p.shut()
	p.settling += len(back)
	p.mu.Unlock()

	p.cancel()
	for _, m := range back {
		m.Settle(nil, transport.ErrStopped)
	}
	for _, a := range attempts {
		p.noted(a.end()) // whatever it still does, it is not what ends the process
	}

	p.mu.Lock()
	p.settling -= len(back)
	p.noteEmpty()
	p.mu.Unlock()
	_ = p.untilEmpty(context.Background())
}

// shut closes the pool and returns all messages that nobody is settling, and the
// attempts that go on.
func (p *Pool) shut() (back []transport.Message, attempts []*attempt) {
	if p.closed {
		return nil, nil
	}
	p.closed = true
	for w := range p.workers {
		if w.handling && w.attempt != nil {
			attempts = append(attempts, w.attempt)
		}
		if w.handling {
			for _, j := range w.jobs {
				back = append(back, j.message)
			}
		}
	}
	p.handled, p.bytes = 0, 0
	for r := range p.resting {
		p.unrest(r)
	}
	for p.again.len > 0 {
		back = append(back, p.again.pop().message)
	}
	for p.suspect.len > 0 {
		back = append(back, p.suspect.pop().message)
	}
	for p.queue.len > 0 {
		back = append(back, p.queue.pop().message)
	}
	for p.refused.len > 0 {
		back = append(back, p.refused.pop().message)
	}
	for _, l := range p.lanes {
		for l.behind.len > 0 {
			back = append(back, l.behind.pop().message)
		}
	}
	p.lanes, p.behind = nil, 0
	p.forgetOutage()
	for place := p.blocked.Front(); place != nil; place = place.Next() {
		close(place.Value.(*submission).over)
	}
	p.blocked.Init()
	p.wakeAll()
	return back, attempts
}

// untilEmpty returns when no message is in the pool.
func (p *Pool) untilEmpty(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.isEmpty() {
		if p.empty == nil {
			p.empty = make(chan struct{})
		}
		empty := p.empty
		p.mu.Unlock()
		var err error
		select {
		case <-empty:
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// noteEmpty tells those in untilEmpty.
func (p *Pool) noteEmpty() {
	if p.empty != nil && p.isEmpty() {
		close(p.empty)
		p.empty = nil
	}
}

func (p *Pool) isEmpty() bool {
	return p.waiting() == 0 && p.handled == 0 && p.settling == 0
}

// Stats returns the state of one moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Workers, s.Queued, s.InFlight = len(p.workers), p.waiting(), p.handled
	s.Paused = !p.outage.since.IsZero()
	return s
}
