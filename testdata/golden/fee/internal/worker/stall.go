// Whether the pool gets on, for a watchdog.

package worker

import "time"

const (
	// overdue is how long work may lie beside an idle worker before something is
	// wrong, and the most that an attempt may take after the end of its context:
	// as long again as its timeout is, but a second at least. That is long for a
	// handler that listens to its context, and for a busy machine.
	overdue      = 10 * time.Second
	leastOverdue = time.Second

	// confirmed is how far apart two calls of Stalled have to see the same.
	confirmed = time.Second
)

// Stalled reports that the pool has work and makes no progress: all workers are
// with an attempt that should have ended, at its worker.timeout, as long ago
// again (1 to 10 s), or those that are not have left work lying for so long. It
// is false of a pool that is idle, that is slow within its timeout, or that has a
// worker left which gets on, and while messages only rest before their next
// attempt. It is false, too, while all work pauses because something is not
// available; but not if the one attempt that is to show whether it is back has
// not ended in time. It is false of a closed pool.
//
// Stalled is to be called every few seconds: times count from the first call
// that sees what takes so long, so that the workers need not look at the clock.
// Two calls, a second apart at least, have to see the same: a process that was
// stopped and goes on gets that time to catch up.
func (p *Pool) Stalled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.closed || !p.stuck(now) {
		p.still = time.Time{}
		return false
	}
	return since(&p.still, now) >= confirmed
}

// stuck tells whether nothing seems to move.
func (p *Pool) stuck(now time.Time) bool {
	busy, hung := 0, 0
	for w := range p.workers {
		switch {
		case len(w.jobs) == 0:
		case since(&w.seen, now) < patienceWith(time.Duration(w.settings.Timeout)):
			busy++
		default:
			hung++
		}
	}
	if p.outage.pause != nil || p.outage.probing {
		p.lying = time.Time{}
		return p.outage.probing && busy == 0 // nobody takes anything before the probe has ended
	}
	if busy > 0 || p.vacancies() == 0 {
		p.lying = time.Time{}
		return hung == len(p.workers)
	}
	return since(&p.lying, now) >= overdue || hung == len(p.workers)
}

// patienceWith is how long an attempt may take that is to take timeout at most.
func patienceWith(timeout time.Duration) time.Duration {
	return timeout + min(max(timeout, leastOverdue), overdue)
}

// since is how long ago first was, which is now if it is zero.
func since(first *time.Time, now time.Time) time.Duration {
	if first.IsZero() {
		*first = now
	}
	return now.Sub(*first)
}
