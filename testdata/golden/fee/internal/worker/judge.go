// What becomes of a message that was handed to the handler.

package worker

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/fee/internal/transport"
)

// A verdict is how a message is to be settled.
type verdict struct {
	*job  // of the worker
	reply []byte
	cause error // why the last attempt failed; nil: the message is done
	back  bool  // in spite of the cause, it goes back to its sender
}

// handle does what there is to do with the jobs of w.
func (p *Pool) handle(w *worker) {
	switch {
	case !w.handling: // what is to be given back
	case len(w.jobs) > 1:
		results, classes := p.together(w)
		p.judgeBatch(w, results, classes)
	case w.jobs[0].loss != nil:
		p.bury(w, w.jobs[0].loss)
	default:
		result, class := p.alone(w)
		p.judge(w, result, class)
	}
}

// judge decides what becomes of the one job of w.
func (p *Pool) judge(w *worker, result Result, class Class) {
	p.judgeOne(w, result, class)
	if l := w.jobs[0].loss; l != nil {
		p.bury(w, l)
	}
}

func (p *Pool) judgeOne(w *worker, result Result, class Class) {
	j, err := &w.jobs[0], result.Err
	if err != nil {
		p.log.Debug("an attempt failed", "error", err, "attempt", j.attempts()+1)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.takeBack(w) {
		return
	}
	if err != nil && class == Unavailable {
		p.setAside(w, w.jobs, err)
		p.learn(w, err, false)
		return
	}
	p.learn(w, nil, err == nil || class == Permanent)
	switch j.failed++; {
	case err == nil:
		p.settleLater(w, verdict{job: j, reply: result.Reply})
	case p.draining && class != Permanent:
		p.settleLater(w, verdict{job: j, cause: err, back: true})
	case class == Permanent || int(j.failed) >= w.settings.Attempts:
		p.lose(w, result.Reply, err)
	default:
		p.rest(*j, pause(w.settings, int(j.failed)))
	}
}

// judgeBatch decides what becomes of all jobs of w. There are no classes if there
// is no error.
func (p *Pool) judgeBatch(w *worker, results []Result, classes []Class) {
	if classes != nil {
		p.logBatch(results, classes)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.takeBack(w) {
		return
	}
	var aside []job
	var unavailable error
	answer := false
	for i := range w.jobs {
		j, err := &w.jobs[i], results[i].Err
		switch {
		case err == nil:
			answer = true
			p.settleLater(w, verdict{job: j, reply: results[i].Reply})
		case classes[i] == Unavailable:
			aside, unavailable = append(aside, *j), err
		default:
			answer = answer || classes[i] == Permanent
			p.again.push(*j)
		}
	}
	p.setAside(w, aside, unavailable)
	p.learn(w, unavailable, answer)
}

// setAside puts jobs of w, for which something is unavailable, back to where they
// came from, to the front. When the service stops they go back to their senders.
func (p *Pool) setAside(w *worker, jobs []job, cause error) {
	switch {
	case p.draining:
		for i := range jobs {
			p.settleLater(w, verdict{job: &jobs[i], cause: cause, back: true})
		}
	case w.suspects:
		p.suspect.putBack(jobs)
	case w.retries:
		p.again.putBack(jobs)
	default:
		p.queue.putBack(jobs)
	}
}

// replace goes on with the jobs of w, and with w, after the handler has ended the
// goroutine: that is a failed attempt like a panic.
func (p *Pool) replace(w *worker) {
	failed := Result{Err: errGoexit}
	switch n := len(w.jobs); {
	case !w.handling:
	case n == 1:
		p.judge(w, failed, Retry)
	default:
		p.judgeBatch(w, slices.Repeat([]Result{failed}, n), make([]Class, n))
	}
	p.settle(w)
	go p.work(w)
}

// takeBack takes the jobs of w from the handler. It returns false if the pool
// was closed meanwhile: then they are settled.
func (p *Pool) takeBack(w *worker) bool {
	w.handling = false
	p.letNextBegin(w)
	if p.closed {
		return false
	}
	p.handled -= len(w.jobs)
	return true
}

// settleLater counts a message as settled and leaves the act to w, outside of
// the mutex.
func (p *Pool) settleLater(w *worker, v verdict) {
	switch {
	case v.cause == nil:
		p.stats.Done++
	case !v.back:
		p.stats.Failed++
	}
	if v.back && v.lane != nil {
		v.lane.broken = true
	}
	p.settling++
	p.bytes -= v.size
	w.verdicts = append(w.verdicts, v)
}

// settle tells the transports what became of the jobs of w.
func (p *Pool) settle(w *worker) {
	p.tellOutage(w)
	back := 0
	for i := range w.verdicts {
		v := &w.verdicts[i]
		switch {
		case v.cause == nil:
			p.settleOne(v)
		case v.back:
			if back++; back == 1 {
				p.log.Warn("a message failed while stopping and is given back", "error", v.cause, "attempts", v.attempts())
			}
			v.message.Settle(nil, transport.ErrStopped)
		default:
			body := v.message.Body()
			p.log.Error("a message failed for good", "error", v.cause, "attempts", v.attempts(),
				"bytes", len(body), "message", text(body))
			p.settleOne(v)
		}
	}
	if back > 1 {
		p.log.Warn("others are given back with it", "messages", back-1)
	}
}

// settleOne settles a message for ever.
func (p *Pool) settleOne(v *verdict) {
	if v.deaths == 0 {
		v.message.Settle(v.reply, v.cause)
		return
	}
	mark, _ := v.from.markOf(v.message)
	v.message.Settle(v.reply, v.cause)
	p.noted(p.options.Attempts.forget(mark))
}

// logBatch tells what went wrong, except for what is told when an outage begins.
func (p *Pool) logBatch(results []Result, classes []Class) {
	failed := 0
	var first error
	for i := range results {
		err := results[i].Err
		if err == nil || classes[i] == Unavailable {
			continue
		}
		if failed++; first == nil {
			first = err
		}
	}
	if failed > 0 && p.ctx.Err() == nil {
		p.log.Warn("messages of a batch failed and are tried one by one", "error", first, "failed", failed, "batch", len(results))
	}
}

// text is the beginning of a message for the log, quoted if it is not text.
func text(body []byte) string {
	const most = 4 << 10
	start := string(body[:min(len(body), most)])
	if utf8.Valid(body) {
		return strings.ToValidUTF8(start, "") // the last rune may be cut
	}
	return strconv.Quote(start)
}
