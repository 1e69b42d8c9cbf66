// What becomes of a message that was handed to the handler.

package worker

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"example.com/feed/internal/transport"
)

// A verdict is how a message is to be settled.
type verdict struct {
	job
	reply []byte
	cause error // why the last attempt failed; nil: the message is done
	back  bool  // in spite of the cause, it goes back to its sender
}

// handleOne makes an attempt with the one job of w.
func (p *Pool) handleOne(w *worker) {
	j := w.jobs[0]
	result, permanent := p.alone(w.requests[0], time.Duration(w.settings.Timeout))
	err := result.Err
	if err != nil {
		p.log.Debug("an attempt failed", "error", err, "attempt", j.failed+1)
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.takeBack(w) {
		return
	}
	switch j.failed++; {
	case err == nil:
		p.settleLater(w, verdict{job: j, reply: result.Reply})
	case p.draining && !permanent:
		p.settleLater(w, verdict{job: j, cause: err, back: true})
	case permanent || j.failed >= w.settings.Attempts:
		reply := result.Reply
		if reply == nil {
			reply = []byte("FALSE")
		}
		p.settleLater(w, verdict{job: j, reply: reply, cause: err})
	default:
		p.rest(j, pause(w.settings, j.failed))
	}
}

// handleBatch makes an attempt with all jobs of w together.
func (p *Pool) handleBatch(w *worker) {
	results := p.together(w.requests, time.Duration(w.settings.Timeout))
	p.logBatch(results)

	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.takeBack(w) {
		return
	}
	for i, j := range w.jobs {
		if results[i].Err == nil {
			p.settleLater(w, verdict{job: j, reply: results[i].Reply})
		} else {
			p.again.push(j)
		}
	}
}

// takeBack takes the jobs of w from the handler. It returns false if the pool
// was closed meanwhile: then they are settled.
func (p *Pool) takeBack(w *worker) bool {
	w.handling = false
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
	p.settling++
	w.verdicts = append(w.verdicts, v)
}

// settle tells the transports what became of the jobs of w.
func (p *Pool) settle(w *worker) {
	for _, v := range w.verdicts {
		switch {
		case v.cause == nil:
			v.message.Settle(v.reply, nil)
		case v.back:
			p.log.Warn("a message failed while stopping and is given back", "error", v.cause, "attempts", v.failed)
			v.message.Settle(nil, transport.ErrStopped)
		default:
			body := v.message.Body()
			p.log.Error("a message failed for good", "error", v.cause, "attempts", v.failed,
				"bytes", len(body), "message", text(body))
			v.message.Settle(v.reply, v.cause)
		}
	}
}

func (p *Pool) logBatch(results []Result) {
	failed := 0
	var first error
	for _, r := range results {
		if r.Err != nil && first == nil {
			first = r.Err
		}
		if r.Err != nil {
			failed++
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
