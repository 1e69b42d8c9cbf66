// The queue: the messages that wait, and the transports that wait for room.

package worker

import (
	"context"

	"example.com/edm/internal/transport"
)

// A job is a message on its way through the pool.
type job struct {
	message transport.Message
	from    *source
	lane    *lane  // of its key; nil: it is in no order
	loss    *loss  // nil: it has not failed for good
	size    int64  // of the message, in bytes
	place   uint32 // in the order in which jobs come into the queue; after the last comes 0
	failed  int16  // attempts, alone, in this process
	deaths  int16  // processes that ended during an attempt
}

// attempts is how often the handler has had the message, alone.
func (j *job) attempts() int {
	n := int(j.failed)
	if j.deaths > 0 {
		n += int(j.deaths) + 1 // the first is not recorded: it was no redelivery
	}
	return n
}

// isBefore compares the places of two jobs that are in the pool at a time.
func (j job) isBefore(other job) bool { return int32(j.place-other.place) < 0 }

// A source is where messages come from. It implements transport.Queue.
type source struct {
	pool       *Pool
	transport  string // its name
	known      bool   // a message has come, and so it is known that its messages
	identifies bool   // are transport.Identified
	refuses    bool   // are transport.Refused
}

// For returns the queue for the transport of that name, which goes with its
// messages to the dead letters.
func (p *Pool) For(name string) transport.Queue { return &source{pool: p, transport: name} }

// A ring is a queue of jobs that takes as much memory as it ever held.
type ring struct {
	slots []job // their number is a power of two
	first int
	len   int
}

func (r *ring) push(j job) { *r.next() = j }

// next appends an empty job, which holds until the next call.
func (r *ring) next() *job {
	if r.len == len(r.slots) {
		r.grow()
	}
	r.len++
	return &r.slots[(r.first+r.len-1)&(len(r.slots)-1)]
}

func (r *ring) pushFront(j job) {
	if r.len == len(r.slots) {
		r.grow()
	}
	r.first = (r.first - 1) & (len(r.slots) - 1)
	r.slots[r.first] = j
	r.len++
}

// grow makes room for another job.
func (r *ring) grow() {
	slots := make([]job, max(16, 2*r.len))
	n := copy(slots, r.slots[r.first:])
	copy(slots[n:], r.slots[:r.first])
	r.slots, r.first = slots, 0
}

// peek returns the job that pop would.
func (r *ring) peek() *job { return &r.slots[r.first] }

func (r *ring) pop() job {
	j := r.slots[r.first]
	r.slots[r.first] = job{}
	r.first = (r.first + 1) & (len(r.slots) - 1)
	r.len--
	return j
}

// putBack puts jobs that were popped back to the front, before all with a later
// place. They are in the order of their places.
func (r *ring) putBack(jobs []job) {
	if len(jobs) == 0 {
		return
	}
	var before []job // what others have put back
	for r.len > 0 && r.slots[r.first].isBefore(jobs[len(jobs)-1]) {
		before = append(before, r.pop())
	}
	for a, b := len(before), len(jobs); a+b > 0; {
		if b == 0 || a > 0 && jobs[b-1].isBefore(before[a-1]) {
			a--
			r.pushFront(before[a])
		} else {
			b--
			r.pushFront(jobs[b])
		}
	}
}

// A submission is what a Submit that waits for room still has to hand over.
type submission struct {
	from     *source
	messages []transport.Message
	over     chan struct{} // closed when all are taken, or the pool is closed
}

// Submit implements transport.Queue, for a transport without a name.
func (p *Pool) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	return p.anonymous.Submit(ctx, messages)
}

// Submit implements transport.Queue. Those who wait for room are served in the
// order in which they came.
func (from *source) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	p := from.pool
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, transport.ErrStopped
	}
	p.arrivals++
	rest := p.enqueue(from, messages) // all of it while others wait: then there is no room
	p.wake()
	if len(rest) == 0 {
		p.mu.Unlock()
		return len(messages), nil
	}
	s := &submission{from: from, messages: rest, over: make(chan struct{})}
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

// know notes of what type the messages are.
func (from *source) know(first transport.Message) {
	from.known = true
	_, from.identifies = first.(transport.Identified)
	_, from.refuses = first.(transport.Refused)
}

// enqueue puts into the queue what there is room for and returns the rest. A
// message that is larger than all the room there can be comes in alone.
func (p *Pool) enqueue(from *source, messages []transport.Message) (rest []transport.Message) {
	n := min(len(messages), max(0, p.settings.Queue-p.waiting()))
	if n > 0 && !from.known {
		from.know(messages[0])
	}
	for i, m := range messages[:n] {
		size := int64(len(m.Body()))
		if p.bytes > 0 && p.bytes+size > int64(p.settings.QueueBytes) {
			return messages[i:]
		}
		p.bytes += size
		j := job{message: m, from: from, size: size}
		if p.orderedBy != "" && p.enter(&j) {
			continue
		}
		p.line(&j)
	}
	return messages[n:]
}

// line puts a job into the queue; one with which a process has ended before, or
// that has failed already, ahead of it, to be alone.
func (p *Pool) line(next *job) {
	queue, deaths := &p.queue, 0
	if next.from.refuses {
		if err := next.message.(transport.Refused).Refused(); err != nil {
			next.loss = newLoss(next, []byte("FALSE"), err)
			queue = &p.again
		}
	}
	if next.loss == nil && p.options.Attempts != nil {
		deaths = p.deathsWith(next.message, next.from)
	}
	if deaths > 0 {
		queue = &p.suspect
		if p.suspectOf(next, deaths); next.loss != nil {
			queue = &p.again
		}
	}
	j := queue.next()
	p.places++
	*j = *next
	j.place = p.places
}

// admit lets those in who wait for room, as far as there is.
func (p *Pool) admit() {
	for place := p.blocked.Front(); place != nil; place = p.blocked.Front() {
		s := place.Value.(*submission)
		if s.messages = p.enqueue(s.from, s.messages); len(s.messages) > 0 {
			return
		}
		p.blocked.Remove(place)
		close(s.over)
	}
}

// waiting is how many messages are neither with the handler nor settled.
func (p *Pool) waiting() int {
	return p.queue.len + p.again.len + p.suspect.len + len(p.resting) + p.behind + p.refused.len
}
