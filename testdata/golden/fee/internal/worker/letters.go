// What has failed for good becomes a dead letter before it is settled.

package worker

import (
	"fmt"
	"sync/atomic"
	"time"

	"example.com/fee/internal/deadletters"
	"example.com/fee/internal/transport"
)

// DeadLetters keep what failed for good.
type DeadLetters interface {
	// Add returns when the letter is on the disk. After an error it is not
	// there, and Add is called again with it. The message is not to be written
	// to. Add is called from several goroutines.
	Add(letter deadletters.Letter) error
}

// A loss is the end of a message that failed for good.
type loss struct {
	letter deadletters.Letter
	reply  []byte
	cause  error
	tries  int // to add the letter
}

// lose notes that the one job of w has failed for good. If it is to be a dead
// letter, w keeps it for that.
func (p *Pool) lose(w *worker, reply []byte, cause error) {
	j := &w.jobs[0]
	if reply == nil {
		reply = []byte("FALSE")
	}
	if _, buries := j.message.(transport.Burying); p.options.DeadLetters == nil && !buries {
		p.settleLater(w, verdict{job: j, reply: reply, cause: cause})
		return
	}
	j.loss = newLoss(j, reply, cause)
	w.handling = true
	p.handled++
}

func newLoss(j *job, reply []byte, cause error) *loss {
	l := &loss{reply: reply, cause: cause}
	l.letter = deadletters.Letter{
		Time:      time.Now().UTC(),
		Transport: j.from.transport,
		Message:   j.message.Body(),
		Reason:    fmt.Sprint(cause), // survives a panic of its method
		Attempts:  j.attempts(),
	}
	if m, ok := j.message.(transport.Identified); ok {
		l.letter.Key = m.ID()
	}
	return l
}

// bury makes a dead letter of the one job of w. What can't become one rests, as
// if it were an attempt.
func (p *Pool) bury(w *worker, l *loss) {
	err := p.keep(w.jobs[0].message, l)
	p.unburied.tell(err, func(err error) {
		p.log.Error("a dead letter can't be kept: its message is held until it can", "error", err)
	}, func() {
		p.log.Info("dead letters are kept again")
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.takeBack(w) {
		return
	}
	j := &w.jobs[0]
	switch {
	case err == nil:
		p.settleLater(w, verdict{job: j, reply: l.reply, cause: l.cause})
	case p.draining:
		p.settleLater(w, verdict{job: j, cause: fmt.Errorf("no dead letter: %w", err), back: true})
	default:
		l.tries++
		p.rest(*j, pause(p.settings, l.tries))
	}
}

// keep makes a dead letter, where the transport wants it, or else in the files of
// the service: not in both.
func (p *Pool) keep(m transport.Message, l *loss) error {
	if b, ok := m.(transport.Burying); ok {
		kept, err := b.Bury(p.ctx, l.letter.Reason, l.letter.Attempts)
		if kept || err != nil {
			return err
		}
	}
	if p.options.DeadLetters == nil {
		return nil
	}
	return p.options.DeadLetters.Add(l.letter)
}

// trouble is something that fails each time for a while. It is told of when it
// begins and when it is over.
type trouble struct{ on atomic.Bool }

func (t *trouble) tell(err error, begins func(error), over func()) {
	switch {
	case err != nil && t.on.CompareAndSwap(false, true):
		begins(err)
	case err == nil && t.on.Load() && t.on.CompareAndSwap(true, false):
		over()
	}
}
