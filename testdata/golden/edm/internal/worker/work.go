// The workers: who is woken when, and takes what.

package worker

import (
	"runtime"
	"time"
)

// patience is how long a batch keeps another from starting: longer than a
// commit takes, and short beside what a handler may wait for.
const patience = 100 * time.Millisecond

// A worker is one goroutine. Other goroutines touch it under the pool's mutex
// only, and read its jobs only while it is handling.
type worker struct {
	settings *Settings // as of when the jobs were taken
	jobs     []job
	retries  bool // they had failed before
	suspects bool // a process has ended with them
	handling bool // the jobs are with the handler, or on their way to the dead letters
	probes   bool // see outage
	lone     bool // counted in Pool.batching
	patience *time.Timer
	seen     time.Time // when Stalled first saw the jobs; zero: it has not

	requests [][]byte  // the bodies of jobs
	results  []Result  // what the handler made of them, if they are a batch
	keys     []string  // those of jobs, see MessageKeys; nil: none has one
	attempt  *attempt  // in the journal; nil: it is not noted
	verdicts []verdict // on what is to be settled

	// What the last attempt showed, see learn.
	begins error         // with this, an outage
	lasted time.Duration // so long did the outage that is over
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
	ended := false
	defer func() {
		if !ended {
			p.replace(w)
		}
	}()
	for p.take(w) {
		p.handle(w)
		p.settle(w)
	}
	ended = true
}

// take waits until there are jobs for w, and takes them. It returns false when
// w is to end.
func (p *Pool) take(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(w)
	p.admit() // what is settled has made room
	for !p.closed && len(p.workers) <= p.settings.Count {
		if p.choose(w) {
			w.settings = p.settings
			if len(w.verdicts) == 0 {
				p.hand(w)
			}
			p.admit()
			p.wake()
			return true
		}
		p.idle++
		p.ready.Wait()
		p.woken--
		p.letOthersCome()
	}
	delete(p.workers, w)
	return false
}

// sociable is after how many batches from one Submit each no more are expected.
const sociable = 16

// letOthersCome has a worker that was woken for a batch let those run first who are
// about to hand over more. Else the first message that arrives would be a batch,
// since its worker is the next to run once it was handed over. Where messages come
// one by one, nothing is waited for. The caller holds p.mu.
func (p *Pool) letOthersCome() {
	if p.batcher == nil || p.company == 0 {
		return
	}
	p.mu.Unlock()
	runtime.Gosched()
	p.mu.Lock()
}

// choose moves the jobs that w is to do next to w, if there are any.
func (p *Pool) choose(w *worker) bool {
	switch n := min(p.queue.len, p.settings.Batch); {
	case p.isHeld():
		return false
	case p.refused.len > 0:
		p.refuse(w)
	case p.suspect.len > 0 && !p.suspecting:
		p.suspecting = true
		w.retries, w.suspects = true, true
		w.jobs = append(w.jobs, p.suspect.pop())
	case p.again.len > 0:
		w.retries = true
		w.jobs = append(w.jobs, p.again.pop())
	case n == 0:
		return false
	case p.batcher == nil:
		w.jobs = append(w.jobs, p.queue.pop())
	case p.batching == 0 || n == p.settings.Batch:
		p.batching++
		w.lone = true
		w.patience.Reset(patience)
		p.fill(w, n)
	default:
		return false
	}
	return true
}

// fill moves up to n jobs to w, at least one, and no more than make a batch of
// the largest size.
func (p *Pool) fill(w *worker, n int) {
	if p.company = max(0, p.company-1); p.arrivals > 1 {
		p.company = sociable
	}
	p.arrivals = 0
	room := int64(p.settings.BatchBytes)
	for range n {
		next := p.queue.peek()
		room -= next.size
		if room < 0 && len(w.jobs) > 0 {
			return
		}
		w.jobs = append(w.jobs, p.queue.pop())
	}
}

// hand makes the jobs of w ready for the handler. It asks for the bodies under
// the mutex: once that is free, Close may settle the messages.
func (p *Pool) hand(w *worker) {
	for i := range w.jobs {
		j := &w.jobs[i]
		body := j.message.Body()
		if body == nil {
			body = []byte{} // to a database, nil would be NULL
		}
		w.requests = append(w.requests, body)
		if j.from.identifies {
			w.identify(i, j)
		}
	}
	if w.retries && w.jobs[0].loss == nil {
		p.stats.Retries++
	}
	if p.options.Attempts != nil {
		w.attempt = p.options.Attempts.attempt(w.marks())
	}
	p.probe(w)
	w.handling = true
	p.handled += len(w.jobs)
	w.seen, p.lying, p.still = time.Time{}, time.Time{}, time.Time{}
}

// vacancies is how many more workers would find something to do.
func (p *Pool) vacancies() int {
	alone := p.again.len
	if p.suspect.len > 0 && !p.suspecting {
		alone++
	}
	switch {
	case p.isHeld():
		return 0
	case !p.outage.since.IsZero():
		return min(1, alone+p.queue.len)
	case p.refused.len > 0:
		return 1 + alone + p.queue.len
	case p.batcher == nil:
		return alone + p.queue.len
	case p.queue.len > 0 && p.batching == 0:
		return alone + max(1, p.queue.len/p.settings.Batch)
	default:
		return alone + p.queue.len/p.settings.Batch
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
	p.letNextBegin(w)
}

// letNextBegin lets others start a batch: that of w is not with the handler any
// more. What its senders are told meanwhile is not waited for, since they hand over
// more as soon as they know. The caller holds p.mu.
func (p *Pool) letNextBegin(w *worker) {
	if w.lone {
		w.lone = false
		w.patience.Stop()
		p.batching--
		p.wake()
	}
}

// release ends what w did for its last jobs, which are settled.
func (p *Pool) release(w *worker) {
	if w.suspects {
		w.suspects, p.suspecting = false, false
		p.wake()
	}
	p.settling -= len(w.verdicts)
	if p.orderedBy != "" {
		for i := range w.verdicts {
			if l := w.verdicts[i].lane; l != nil {
				p.advance(l)
			}
		}
	}
	p.noteEmpty()
	w.retries, w.keys, w.attempt = false, nil, nil
	clear(w.jobs)
	clear(w.requests)
	clear(w.results)
	clear(w.verdicts)
	w.jobs, w.requests, w.verdicts = w.jobs[:0], w.requests[:0], w.verdicts[:0]
}
