// The queue: the messages that wait, and the transports that wait for room.

package worker

import (
	"context"

	"example.com/feed/internal/transport"
)

// A job is a message on its way through the pool.
type job struct {
	message transport.Message
	failed  int // attempts, alone
}

// A ring is a queue of jobs that takes as much memory as it ever held.
type ring struct {
	slots []job // their number is a power of two
	first int
	len   int
}

func (r *ring) push(j job) {
	if r.len == len(r.slots) {
		slots := make([]job, max(16, 2*r.len))
		n := copy(slots, r.slots[r.first:])
		copy(slots[n:], r.slots[:r.first])
		r.slots, r.first = slots, 0
	}
	r.slots[(r.first+r.len)&(len(r.slots)-1)] = j
	r.len++
}

func (r *ring) pop() job {
	j := r.slots[r.first]
	r.slots[r.first] = job{}
	r.first = (r.first + 1) & (len(r.slots) - 1)
	r.len--
	return j
}

// A submission is what a Submit that waits for room still has to hand over.
type submission struct {
	messages []transport.Message
	over     chan struct{} // closed when all are taken, or the pool is closed
}

// Submit implements transport.Queue. Those who wait for room are served in the
// order in which they came.
func (p *Pool) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, transport.ErrStopped
	}
	rest := p.enqueue(messages) // all of it while others wait: then there is no room
	p.wake()
	if len(rest) == 0 {
		p.mu.Unlock()
		return len(messages), nil
	}
	s := &submission{messages: rest, over: make(chan struct{})}
	place := p.blocked.PushBack(s)
	p.mu.Unlock()

	select {
	case <-s.over:
	case <-ctx.Done():
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	switch taken := len(messages) - len(s.messages); {
	case len(s.messages) == 0:
		return taken, nil
	case p.closed:
		return taken, transport.ErrStopped
	default:
		p.blocked.Remove(place)
		return taken, ctx.Err()
	}
}

// enqueue puts into the queue what there is room for and returns the rest.
func (p *Pool) enqueue(messages []transport.Message) (rest []transport.Message) {
	n := min(len(messages), max(0, p.settings.Queue-p.waiting()))
	for _, m := range messages[:n] {
		p.queue.push(job{message: m})
	}
	return messages[n:]
}

// admit lets those in who wait for room, as far as there is.
func (p *Pool) admit() {
	for place := p.blocked.Front(); place != nil; place = p.blocked.Front() {
		s := place.Value.(*submission)
		if s.messages = p.enqueue(s.messages); len(s.messages) > 0 {
			return
		}
		p.blocked.Remove(place)
		close(s.over)
	}
}

// waiting is how many messages are neither with the handler nor settled.
func (p *Pool) waiting() int { return p.queue.len + p.again.len + len(p.resting) }
