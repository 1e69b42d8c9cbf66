// The workers: who is woken when, and takes what.

package worker

import "time"

// patience is how long a batch keeps another from starting: longer than a
// commit takes, and short beside what a handler may wait for.
const patience = 100 * time.Millisecond

// A worker is one goroutine. Other goroutines touch it under the pool's mutex
// only, and read its jobs only while it is handling.
type worker struct {
	settings *Settings // as of when the jobs were taken
	jobs     []job
	handling bool // the jobs are with the handler
	lone     bool // counted in Pool.batching
	patience *time.Timer

	requests [][]byte  // the bodies of jobs
	verdicts []verdict // on those of jobs that are to be settled
}

// staff starts the workers that are missing.
func (p *Pool) staff() {
	for len(p.workers) < p.settings.Count {
		w := &worker{}
		w.patience = time.AfterFunc(patience, func() { p.outwait(w) })
		w.patience.Stop()
		p.workers[w] = struct{}{}
		go p.work(w)
	}
}

func (p *Pool) work(w *worker) {
	for p.take(w) {
		if len(w.jobs) == 1 {
			p.handleOne(w)
		} else {
			p.handleBatch(w)
		}
		p.settle(w)
	}
}

// take waits until there are jobs for w, and takes them. It returns false when
// w is to end.
func (p *Pool) take(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(w)
	for !p.closed && len(p.workers) <= p.settings.Count {
		if p.choose(w) {
			p.hand(w)
			p.admit()
			p.wake()
			return true
		}
		p.idle++
		p.ready.Wait()
		p.woken--
	}
	delete(p.workers, w)
	return false
}

// choose moves the jobs that w is to do next to w, if there are any.
func (p *Pool) choose(w *worker) bool {
	switch n := min(p.queue.len, p.settings.Batch); {
	case p.again.len > 0:
		p.stats.Retries++
		w.jobs = append(w.jobs, p.again.pop())
	case n == 0:
		return false
	case p.batcher == nil:
		w.jobs = append(w.jobs, p.queue.pop())
	case p.batching == 0 || n == p.settings.Batch:
		p.batching++
		w.lone = true
		w.patience.Reset(patience)
		for range n {
			w.jobs = append(w.jobs, p.queue.pop())
		}
	default:
		return false
	}
	return true
}

// hand makes the jobs of w ready for the handler. It asks for the bodies under
// the mutex: once that is free, Close may settle the messages.
func (p *Pool) hand(w *worker) {
	for _, j := range w.jobs {
		body := j.message.Body()
		if body == nil {
			body = []byte{} // to a database, nil would be NULL
		}
		w.requests = append(w.requests, body)
	}
	w.settings = p.settings
	w.handling = true
	p.handled += len(w.jobs)
}

// vacancies is how many more workers would find something to do.
func (p *Pool) vacancies() int {
	switch {
	case p.batcher == nil:
		return p.again.len + p.queue.len
	case p.queue.len > 0 && p.batching == 0:
		return p.again.len + max(1, p.queue.len/p.settings.Batch)
	default:
		return p.again.len + p.queue.len/p.settings.Batch
	}
}

// wake wakes as many idle workers as are of use.
func (p *Pool) wake() {
	for wanted := p.vacancies(); p.idle > 0 && p.woken < wanted; {
		p.idle--
		p.woken++
		p.ready.Signal()
	}
}

// wakeAll makes every idle worker look whether it is to end.
func (p *Pool) wakeAll() {
	p.woken += p.idle
	p.idle = 0
	p.ready.Broadcast()
}

// outwait lets others start a batch although w has not ended its own.
func (p *Pool) outwait(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.lone {
		w.lone = false
		p.batching--
		p.wake()
	}
}

// release ends what w did for its last jobs, which are settled.
func (p *Pool) release(w *worker) {
	if w.lone {
		w.lone = false
		w.patience.Stop()
		p.batching--
	}
	p.settling -= len(w.verdicts)
	p.noteEmpty()
	clear(w.jobs)
	clear(w.requests)
	clear(w.verdicts)
	w.jobs, w.requests, w.verdicts = w.jobs[:0], w.requests[:0], w.verdicts[:0]
}
