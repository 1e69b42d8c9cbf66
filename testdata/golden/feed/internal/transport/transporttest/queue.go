// The queues that the suite serves from, in place of the worker pool.

package transporttest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/feed/internal/transport"
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

// queue holds as many messages as its capacity until the test takes them.
type queue chan transport.Message

func (q queue) Submit(ctx context.Context, messages []transport.Message) (int, error) {
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

func (q queue) take(t *testing.T) transport.Message {
	t.Helper()
	select {
	case m := <-q:
		return m
	case <-time.After(Patience):
		t.Fatal("no message came")
		return nil
	}
}

// pool is a queue with workers, which settle messages out of order. It must be
// closed after the transport has ended.
type pool struct {
	queue
	workers sync.WaitGroup
}

// newPool starts n workers that call work with each message.
func newPool(n int, work func(transport.Message)) *pool {
	p := &pool{queue: make(queue, 64)}
	for range n {
		p.workers.Go(func() {
			for m := range p.queue {
				work(m)
			}
		})
	}
	return p
}

// close ends the workers once the queue is empty.
func (p *pool) close() {
	close(p.queue)
	p.workers.Wait()
}

// answer settles a message with its body.
func answer(m transport.Message) { m.Settle(m.Body(), nil) }
