// Package worker is the pool between the transports and the handler: a bounded
// queue, and workers that take messages from it, hand them to the handler, try
// again what failed, and settle each message once.
package worker

import (
	"container/list"
	"context"
	"log/slog"
	"sync"

	"example.com/feed/internal/transport"
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
// again at once, alone.
//
// # Order
//
// Messages are taken from the queue in the order of Submit. With one worker
// they are handled in that order too, except those that fail.
type Pool struct {
	handler Handler
	batcher BatchHandler // the same, if it takes batches
	log     *slog.Logger
	ctx     context.Context // of all attempts; ends with Close
	cancel  context.CancelFunc

	mu       sync.Mutex
	settings *Settings // replaced as a whole, never written to
	draining bool
	closed   bool

	// Where a message waits: for any worker; to be tried again, alone; for the
	// time of its next attempt; with a transport, for room.
	queue   ring
	again   ring
	resting map[*rest]struct{}
	blocked list.List // of *submission

	// Where it is otherwise. What has been settled is counted in stats.
	handled  int // with the handler
	settling int // being settled

	ready    sync.Cond // a worker may find something to do
	workers  map[*worker]struct{}
	idle     int // workers that wait for ready
	woken    int // workers that were woken and have not looked yet
	batching int // workers that keep others from starting a batch

	stats Stats
	empty chan struct{} // closed when no message is left; nil if nobody waits for that
}

var _ transport.Queue = (*Pool)(nil)

// Stats says what the pool is doing and has done since it was made.
type Stats struct {
	Workers  int    // running
	Queued   int    // messages waiting, those included that rest after a failed attempt
	InFlight int    // messages with the handler
	Done     uint64 // messages handled
	Failed   uint64 // messages failed for good
	Panics   uint64 // attempts that ended in a panic
	Retries  uint64 // attempts with a message that had failed before, alone or in a batch
}

// New starts a pool. The settings must be valid.
func New(handler Handler, settings Settings, log *slog.Logger) *Pool {
	p := &Pool{
		handler:  handler,
		log:      log,
		settings: &settings,
		resting:  make(map[*rest]struct{}),
		workers:  make(map[*worker]struct{}),
	}
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
// error of ctx if that ends before. From the first call on nothing rests: what
// would have rested has one more attempt at once, and then goes back to its
// sender, settled with transport.ErrStopped. Only a permanent error is a
// failure for good from then on.
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
	p.wake()
	p.mu.Unlock()
	return p.untilEmpty(ctx)
}

// Close ends the pool at once: Submit takes nothing more, the contexts of all
// attempts end, and every message is settled with transport.ErrStopped, also
// those with the handler: what it still makes of them is dropped. Close returns
// when all are settled and does not wait for the handler. It may be called twice.
func (p *Pool) Close() {
	p.mu.Lock()
	back := p.shut()
	p.settling += len(back)
	p.mu.Unlock()

	p.cancel()
	for _, m := range back {
		m.Settle(nil, transport.ErrStopped)
	}

	p.mu.Lock()
	p.settling -= len(back)
	p.noteEmpty()
	p.mu.Unlock()
	_ = p.untilEmpty(context.Background())
}

// shut closes the pool and returns all messages that nobody is settling.
func (p *Pool) shut() (back []transport.Message) {
	if p.closed {
		return nil
	}
	p.closed = true
	for w := range p.workers {
		if w.handling {
			for _, j := range w.jobs {
				back = append(back, j.message)
			}
		}
	}
	p.handled = 0
	for r := range p.resting {
		p.unrest(r)
	}
	for p.again.len > 0 {
		back = append(back, p.again.pop().message)
	}
	for p.queue.len > 0 {
		back = append(back, p.queue.pop().message)
	}
	for place := p.blocked.Front(); place != nil; place = place.Next() {
		close(place.Value.(*submission).over)
	}
	p.blocked.Init()
	p.wakeAll()
	return back
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
	return s
}
