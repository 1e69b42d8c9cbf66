package transporttest_test

// A transport that connects to where its messages are, in memory: the suite for
// those is tested with it, and it shows how one describes itself.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"example.com/job/internal/transport"
	"example.com/job/internal/transport/transporttest"
)

func TestConnectingTransport(t *testing.T) {
	var brokers brokers
	transporttest.Run(t, transporttest.Harness{
		Config:  func() transport.Config { return &section{brokers.add()} },
		Address: func(tr transport.Transport) string { return tr.(*consumer).current().name },
		Dial:    func(address string) (transporttest.Peer, error) { return publisher{brokers.named(address)}, nil },
		Cut: func(tr transport.Transport) (restore func()) {
			b := tr.(*consumer).current()
			b.setUp(false)
			return func() { b.setUp(true) }
		},
		Redelivers: true,
	})
}

type brokers struct{ byName sync.Map }

func (b *brokers) add() *broker {
	fresh := &broker{up: true, changed: make(chan struct{})}
	fresh.name = fmt.Sprintf("%p", fresh)
	b.byName.Store(fresh.name, fresh)
	return fresh
}

func (b *brokers) named(name string) *broker {
	found, _ := b.byName.Load(name)
	return found.(*broker)
}

// broker keeps letters until they are done.
type broker struct {
	name string

	mu      sync.Mutex
	up      bool
	ids     int
	waiting []*letter
	out     map[*letter]bool // with a consumer
	changed chan struct{}    // closed, and another one in its place, with each change
}

type letter struct {
	broker      *broker
	id          string
	body        []byte
	redelivered bool
}

// change makes a change, or waits for the next one and tries again.
func (b *broker) change(ctx context.Context, try func() bool) error {
	for {
		b.mu.Lock()
		done, changed := try(), b.changed
		if done {
			close(b.changed)
			b.changed = make(chan struct{})
		}
		b.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setUp lets the broker be reached or not. What is out comes back if it is not.
func (b *broker) setUp(up bool) {
	_ = b.change(context.Background(), func() bool {
		b.up = up
		if !up {
			b.recall()
		}
		return true
	})
}

// recall has all letters that are out delivered again. The caller holds b.mu.
func (b *broker) recall() {
	for l := range b.out {
		b.waiting = append(b.waiting, &letter{b, l.id, l.body, true})
	}
	b.out = nil
}

// publisher is a peer; the broker has room for a hundred letters.
type publisher struct{ *broker }

func (p publisher) Send(bodies ...[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	defer cancel()
	for _, body := range bodies {
		err := p.change(ctx, func() bool {
			if len(p.waiting) >= 100 {
				return false
			}
			p.ids++
			p.waiting = append(p.waiting, &letter{p.broker, strconv.Itoa(p.ids), append([]byte{}, body...), false})
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (publisher) Receive() ([]byte, error) { return nil, errors.New("there are no replies") }
func (publisher) Close() error             { return nil }

func (l *letter) Body() []byte      { return l.body }
func (l *letter) ID() string        { return l.id }
func (l *letter) Redelivered() bool { return l.redelivered }

// Settle does nothing for a letter that was recalled.
func (l *letter) Settle(_ []byte, err error) {
	_ = l.broker.change(context.Background(), func() bool {
		if l.broker.out[l] && errors.Is(err, transport.ErrStopped) {
			l.broker.waiting = append(l.broker.waiting, &letter{l.broker, l.id, l.body, true})
		}
		delete(l.broker.out, l)
		return true
	})
}

type section struct{ broker *broker }

func (*section) Validate(func(key, reason string)) {}
func (*section) Listens() []transport.Address      { return nil }

func (c *section) New(transport.Env) (transport.Transport, error) {
	ctx, stop := context.WithCancel(context.Background())
	closed, close := context.WithCancel(context.Background())
	return &consumer{broker: c.broker, moved: make(chan struct{}), ctx: ctx, stop: stop, closed: closed, close: close}, nil
}

type consumer struct {
	ctx, closed context.Context // taking no more; waiting for nothing either
	stop, close context.CancelFunc

	mu     sync.Mutex
	broker *broker
	moved  chan struct{} // closed, and another one in its place, with each broker
}

func (c *consumer) current() *broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broker
}

// Serve takes letters until the end, and then waits for those that are out.
func (c *consumer) Serve(ctx context.Context, queue transport.Queue) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	for ctx.Err() == nil {
		c.consume(ctx, queue)
	}
	b := c.current()
	_ = b.change(c.closed, func() bool { return len(b.out) == 0 })
	return nil
}

// consume takes letters from one broker.
func (c *consumer) consume(ctx context.Context, queue transport.Queue) {
	c.mu.Lock()
	b, moved := c.broker, c.moved
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-moved:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		var next *letter
		err := b.change(ctx, func() bool {
			if !b.up || len(b.waiting) == 0 {
				return false
			}
			if b.out == nil {
				b.out = make(map[*letter]bool)
			}
			next, b.waiting = b.waiting[0], b.waiting[1:]
			b.out[next] = true
			return true
		})
		if err != nil {
			return
		}
		if n, _ := queue.Submit(ctx, []transport.Message{next}); n == 0 {
			next.Settle(nil, transport.ErrStopped)
		}
	}
}

func (c *consumer) Reload(to transport.Config) (transport.Change, error) {
	if c.ctx.Err() != nil {
		return transport.Change{}, transport.ErrStopped
	}
	return transport.Change{
		Commit: func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.broker = to.(*section).broker
			close(c.moved)
			c.moved = make(chan struct{})
		},
		Abort: func() {},
	}, nil
}

func (c *consumer) Retire() { c.stop() }

func (c *consumer) Close() error {
	c.stop()
	c.close()
	b := c.current()
	return b.change(context.Background(), func() bool {
		b.recall()
		return true
	})
}

func (c *consumer) Status() string { return "consuming from " + c.current().name }
