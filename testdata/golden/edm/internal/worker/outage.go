// The pause of the whole pool while the handler lacks something that it needs.

package worker

import "time"

// An outage begins with an attempt that finds something unavailable, and lasts
// until another one shows that it is back. In between nothing is with the handler
// but one attempt now and then: the probe.
type outage struct {
	since   time.Time   // zero: there is none
	failed  int         // probes, and the attempt that it began with
	pause   *time.Timer // until the next probe; nil: it may be made, or is
	probing bool        // the probe is with the handler
}

// isHeld reports whether no worker may take anything.
func (p *Pool) isHeld() bool { return p.outage.pause != nil || p.outage.probing }

// probe makes w the one that finds out, if there is an outage.
func (p *Pool) probe(w *worker) {
	if p.outage.since.IsZero() || w.jobs[0].loss != nil {
		return
	}
	w.probes = true
	p.outage.probing = true
}

// learn draws the conclusions from an attempt of w that found something
// unavailable, or that got an answer, or, if both are false, shows neither. What
// began before the outage does not prolong it, and says nothing of its end.
func (p *Pool) learn(w *worker, unavailable error, answer bool) {
	probes := w.probes
	if probes {
		w.probes = false
		p.outage.probing = false
	}
	switch {
	case p.draining: // everything has its last attempt now
	case unavailable != nil && p.outage.since.IsZero():
		p.outage.since = time.Now()
		w.begins = unavailable
		p.suspend()
	case !probes:
	case unavailable != nil:
		p.suspend()
	case answer:
		w.lasted = max(1, time.Since(p.outage.since))
		p.outage = outage{}
		p.wake()
	default:
		p.wake()
	}
}

// suspend keeps the workers from taking anything for a while.
func (p *Pool) suspend() {
	p.outage.failed++
	var timer *time.Timer
	timer = time.AfterFunc(pause(p.settings, p.outage.failed), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.outage.pause == timer {
			p.outage.pause = nil
			p.wake()
		}
	})
	p.outage.pause = timer
}

// forgetOutage has all workers go on, whether or not it is over.
func (p *Pool) forgetOutage() {
	if p.outage.pause != nil {
		p.outage.pause.Stop()
	}
	p.outage = outage{}
}

// tellOutage logs what w has learnt.
func (p *Pool) tellOutage(w *worker) {
	if w.begins != nil {
		p.log.Warn("something that the handler needs is not available, the workers pause", "error", w.begins)
	}
	if w.lasted > 0 {
		p.log.Info("what the handler needs is available again, the workers go on", "after", w.lasted.Round(time.Millisecond))
	}
	w.begins, w.lasted = nil, 0
}
