// The order of messages with the same key.

package worker

import (
	"errors"

	"example.com/edm/internal/transport"
)

// A lane holds the messages with one key: the first is on its way, from Submit
// until it is settled, and the others wait for that. It exists for as long as
// there is a first.
type lane struct {
	key    string
	behind ring
	broken bool // one went back to its sender, and so does all that follows, for ever
}

// errBroken is why a message goes back that has had no attempt.
var errBroken = errors.New("the one before it with the same key was given back")

// enter puts a job into the lane of its key, if it has one. It reports whether
// the job waits there: else it may go on.
func (p *Pool) enter(j *job) (waits bool) {
	keyed, ok := j.message.(transport.Keyed)
	if !ok {
		return false
	}
	key, ok := keyed.Key(p.orderedBy)
	if !ok {
		return false
	}
	l := p.lanes[key]
	j.lane = l
	switch {
	case l == nil:
		j.lane = &lane{key: key}
		p.lanes[key] = j.lane
		return false
	case l.broken:
		p.refused.push(*j)
	default:
		l.behind.push(*j)
		p.behind++
	}
	return true
}

// advance goes on with the message behind the first of l, which is settled. The
// next goes to the end of the queue: so the keys take turns.
func (p *Pool) advance(l *lane) {
	switch {
	case p.closed:
	case l.broken:
		p.behind -= l.behind.len
		for l.behind.len > 0 {
			p.refused.push(l.behind.pop())
		}
	case l.behind.len == 0:
		delete(p.lanes, l.key)
	default:
		p.behind--
		next := l.behind.pop()
		p.line(&next)
	}
}

// refuse leaves it to w to settle what can't be handled in its order any more.
func (p *Pool) refuse(w *worker) {
	for p.refused.len > 0 {
		w.jobs = append(w.jobs, p.refused.pop())
	}
	for i := range w.jobs {
		p.settleLater(w, verdict{job: &w.jobs[i], cause: errBroken, back: true})
	}
}
