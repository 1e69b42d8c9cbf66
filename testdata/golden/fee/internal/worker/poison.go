// Messages that end the process.

package worker

import (
	"fmt"
	"math"

	"example.com/fee/internal/transport"
)

// markOf returns the mark of a message that may have been delivered before; ok is
// false for any other, and for one without an ID.
func (from *source) markOf(message transport.Message) (m mark, ok bool) {
	r, ok := message.(transport.Redelivered)
	if !ok || !r.Redelivered() {
		return m, false
	}
	id := r.ID()
	if id == "" {
		return m, false
	}
	return markOf(from.transport, id), true
}

// marks are those of the jobs that w hands over.
func (w *worker) marks() (marks []mark) {
	for i := range w.jobs {
		j := &w.jobs[i]
		if !j.from.identifies || j.loss != nil {
			continue
		}
		if m, ok := j.from.markOf(j.message); ok {
			marks = append(marks, m)
		}
	}
	return marks
}

// deathsWith is during how many attempts with a message a process has ended.
func (p *Pool) deathsWith(message transport.Message, from *source) int {
	if !from.identifies {
		return 0
	}
	m, ok := from.markOf(message)
	if !ok {
		return 0
	}
	return p.options.Attempts.deathsWith(m)
}

// suspectOf notes the deaths with j. As the attempt with its first delivery was
// not recorded, there was one more; but one that is recorded there has to be,
// since a message also comes again when its connection broke.
func (p *Pool) suspectOf(j *job, deaths int) {
	j.deaths = int16(min(deaths, math.MaxInt16-1))
	if n := deaths + 1; n >= p.settings.Attempts {
		j.loss = newLoss(j, []byte("FALSE"), fmt.Errorf("the process ended during %d attempts with it", n))
	}
}

// noted tells of trouble with the journal. The work goes on without.
func (p *Pool) noted(err error) {
	p.unnoted.tell(err, func(err error) {
		p.log.Error("attempts can't be noted: a message that ends the process will not be found out", "error", err)
	}, func() {
		p.log.Info("attempts are noted again")
	})
}
