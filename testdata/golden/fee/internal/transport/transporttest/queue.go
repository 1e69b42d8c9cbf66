// The queues that tests serve from, in place of the worker pool.

package transporttest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/fee/internal/transport"
)

// Echo is a queue without workers: it settles every message at once, with its
// body as the reply. Its value is the number of messages that it has taken.
type Echo struct{ taken atomic.Int64 }

// Submit implements transport.Queue.
func (e *Echo) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	e.taken.Add(int64(len(messages)))
	for _, m := range messages {
		m.Settle(m.Body(), nil)
	}
	return len(messages), nil
}

// Queue holds as many messages as its capacity until the test takes them.
type Queue chan transport.Message

// Submit implements transport.Queue.
func (q Queue) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	for i, m := range messages {
		if err := ctx.Err(); err != nil {
			return i, err
		}
		select {
		case q <- m:
		case <-ctx.Done():
			return i, ctx.Err()
		}
	}
	return len(messages), nil
}

// Take waits for a message, and does not settle it.
func (q Queue) Take(t testing.TB) transport.Message {
	t.Helper()
	select {
	case m := <-q:
		return m
	case <-time.After(Patience):
		t.Fatal("no message came")
		return nil
	}
}

// Want takes messages, which have to have these bodies, and settles them as done.
func (q Queue) Want(t testing.TB, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		m := q.Take(t)
		if got := string(m.Body()); got != body {
			t.Errorf("message %.40q, want %.40q", got, body)
		}
		m.Settle(nil, nil)
	}
}

// pool is a queue with workers, which settle messages out of order. It must be
// closed after the transport has ended.
type pool struct {
	Queue
	workers sync.WaitGroup
}

// newPool starts n workers that call work with each message.
func newPool(n int, work func(transport.Message)) *pool {
	p := &pool{Queue: make(Queue, 64)}
	for range n {
		p.workers.Go(func() {
			for m := range p.Queue {
				work(m)
			}
		})
	}
	return p
}

// close ends the workers once the queue is empty.
func (p *pool) close() {
	close(p.Queue)
	p.workers.Wait()
}

// Answer settles a message with its body.
func Answer(m transport.Message) { m.Settle(m.Body(), nil) }
