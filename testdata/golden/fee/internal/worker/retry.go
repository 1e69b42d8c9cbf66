// The pause between the attempts with a message.

package worker

import (
	"math/rand/v2"
	"time"
)

// A rest is a job that waits for the time of its next attempt.
type rest struct {
	job
	timer *time.Timer
}

// rest lets j wait before its next attempt.
func (p *Pool) rest(j job, pause time.Duration) {
	r := &rest{job: j}
	p.resting[r] = struct{}{}
	r.timer = time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, still := p.resting[r]; still {
			p.unrest(r)
			p.wake()
		}
	})
}

// unrest puts what rests before the workers.
func (p *Pool) unrest(r *rest) {
	r.timer.Stop()
	delete(p.resting, r)
	if r.deaths > 0 && r.loss == nil {
		p.suspect.push(r.job)
		return
	}
	p.again.push(r.job)
}

// pause is how long to wait after so many failed attempts: "full jitter", so
// that messages which failed together do not come back together.
// See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
func pause(s *Settings, failed int) time.Duration {
	bound, most := time.Duration(s.Backoff), time.Duration(s.BackoffMax)
	for range failed - 1 {
		if bound > most/2 {
			bound = most
			break
		}
		bound *= 2
	}
	return rand.N(bound) + 1
}
