// The runs, one after the other.

package timer

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"example.com/job/internal/transport"
)

const (
	// longestSleep is how long to sleep at most: a machine that was suspended, or
	// whose clock was set, is noticed after as much.
	longestSleep = time.Minute

	// firstBackoff is the longest pause after the first of the runs that fail.
	firstBackoff = time.Second

	// mostMissed is how many missed times are counted in one go.
	mostMissed = 1_000_000
)

// A loop is what Serve does.
type loop struct {
	*Transport
	queue   transport.Queue
	failed  int  // runs, one after the other
	waiting bool // another process makes a run
}

// run makes runs until ctx or the transport ends.
func (l *loop) run(ctx context.Context) {
	for l.sleep(ctx) {
		unlock, ok := l.lock()
		if !ok {
			if !l.outwait(ctx) {
				return
			}
			continue
		}
		l.waiting = false
		again := l.once(ctx)
		unlock()
		if !again {
			return
		}
	}
}

// outwait gives another process some time to end its run. It returns false if no
// run is to begin any more.
func (l *loop) outwait(ctx context.Context) bool {
	if !l.waiting {
		l.waiting = true
		l.log.Info("waiting for the run of the process before this one")
	}
	return l.pause(ctx, lookAgain)
}

// sleep waits for the next run, and returns false if there is to be none.
func (l *loop) sleep(ctx context.Context) bool {
	late := time.Duration(-1) // the jitter, chosen once for each run
	for {
		l.mu.Lock()
		next, jitter := l.next, time.Duration(l.config.Jitter)
		l.mu.Unlock()
		if late < 0 || late > jitter {
			late = upTo(jitter)
		}
		pause := longestSleep
		if !next.IsZero() {
			if pause = time.Until(next.Add(late)); pause <= 0 {
				return true
			}
		}
		if !l.pause(ctx, min(pause, longestSleep)) {
			return false
		}
	}
}

// pause waits so long, or until there is something to look at. It returns false if
// no run is to begin any more.
func (l *loop) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.changed:
	case <-l.ended:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// upTo returns a random part of d.
func upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d + 1)
}

// once makes a run, and returns false if it is to be the last one.
func (l *loop) once(ctx context.Context) bool {
	m := l.start()
	log := l.log.With("run", m.number)
	log.Info("begin", "due", m.due.Format(time.RFC3339))
	if n, err := l.queue.Submit(ctx, []transport.Message{m}); n == 0 {
		log.Info("not begun", "reason", err)
		l.finish(m, transport.ErrStopped)
		return false
	}
	select {
	case <-m.settled:
	case <-l.dropped:
		return false
	}
	took := time.Since(m.begun).Round(time.Microsecond)
	switch {
	case errors.Is(m.err, transport.ErrStopped):
		log.Info("end, not done: the service is stopping", "took", took)
	case m.err != nil:
		log.Error("end, failed", "took", took, "error", m.err)
	default:
		log.Info("end", "took", took)
	}
	l.finish(m, m.err)
	return !errors.Is(m.err, transport.ErrStopped)
}

// start makes the message of a run that is due.
func (l *loop) start() *message {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.runs++
	l.begun = time.Now()
	return &message{
		number:  l.stats.runs,
		due:     l.next,
		begun:   l.begun,
		body:    []byte(l.config.Message),
		settled: make(chan struct{}),
	}
}

// finish sets the next run. Times that have passed by then are missed, and so are
// those in the pause after a failure.
func (l *loop) finish(m *message, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = time.Time{}
	if errors.Is(err, transport.ErrStopped) {
		return
	}
	resume := time.Now()
	if err != nil {
		l.stats.failed++
		l.failed++
		resume = resume.Add(l.backoff())
	} else {
		l.failed = 0
	}
	// The clock may have been set back: no time comes twice.
	if resume.Before(m.due) {
		resume = m.due
	}
	l.next = l.times.after(resume)
	if missed := countUpTo(l.times, m.due, resume, mostMissed); missed > 0 {
		l.stats.missed += uint64(missed)
		l.log.Warn("missed times of the schedule", "missed", missed, "next", l.next.Format(time.RFC3339))
	}
}

// backoff is the pause after the runs that have failed: a random part of a second,
// doubled with each of them.
func (l *loop) backoff() time.Duration {
	most := time.Duration(l.config.BackoffMax)
	longest := firstBackoff
	for range l.failed - 1 {
		if longest *= 2; longest >= most {
			break
		}
	}
	return upTo(min(longest, most))
}

// A message is a run on its way. It implements transport.Burying.
type message struct {
	number uint64
	due    time.Time
	begun  time.Time
	body   []byte

	settled chan struct{} // closed by Settle
	err     error         // before that
}

// Body implements transport.Message.
func (m *message) Body() []byte { return m.body }

// Settle implements transport.Message. Nobody waits for the reply.
func (m *message) Settle(_ []byte, err error) {
	m.err = err
	close(m.settled)
}

// Bury implements transport.Burying: a run that failed is no dead letter, as the next
// one does its work.
func (m *message) Bury(context.Context, string, int) (kept bool, err error) { return true, nil }
