// One connection to the broker, from which messages come.

package amqp

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/transport"
)

// session is a connection with a channel for each queue. It is not repaired when
// it is lost: the tags of its deliveries mean something on its channels only, and
// would acknowledge other messages on those of another connection.
type session struct {
	transport *Transport
	config    *Config // of when it was made
	conn      *connection
	consumers []*consumer

	lost    chan struct{} // closed when messages come no more
	mu      sync.Mutex
	cause   error // why; nil: they do
	dead    bool  // and nothing can be acknowledged
	readers sync.WaitGroup
	watches sync.WaitGroup
}

// consumer is a channel and what comes by it.
type consumer struct {
	session *session
	queue   string
	channel *amqp091.Channel
	acks    *acks

	closed    chan *amqp091.Error
	cancelled chan string
}

// open connects to a node and makes what messages come from, each within
// connect_timeout. Consume begins to take them.
func (t *Transport) open(ctx context.Context, c *Config, node string) (*session, error) {
	conn, err := c.dial(ctx, node, "consumer")
	if err != nil {
		return nil, err
	}
	s := &session{transport: t, config: c, conn: conn, lost: make(chan struct{})}
	if err := s.inTime(ctx, s.prepare); err != nil {
		conn.kill()
		s.retire()
		return nil, failure(fmt.Errorf("%s: %w", conn.node, err))
	}
	return s, nil
}

// inTime asks the broker for something. If it has no answer within connect_timeout,
// or before ctx ends, the connection ends with it.
func (s *session) inTime(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.config.ConnectTimeout))
	defer cancel()
	answered := context.AfterFunc(ctx, s.conn.kill)
	err := ask()
	if !answered() {
		err = cause(ctx, ctx.Err())
	}
	return err
}

// prepare makes the channels. The broker bounds what it delivers by a channel from
// the moment that it is consumed, so the bound is set before.
func (s *session) prepare() error {
	channel, err := s.conn.Channel()
	if err != nil {
		return err
	}
	if err := s.config.settle(channel); err != nil {
		return err
	}
	for _, queue := range s.config.queues() {
		if s.consumers != nil {
			if channel, err = s.conn.Channel(); err != nil {
				return err
			}
		}
		if err := channel.Qos(s.config.Prefetch, 0, false); err != nil {
			return fmt.Errorf("prefetch = %d: %w", s.config.Prefetch, err)
		}
		s.consumers = append(s.consumers, &consumer{
			session:   s,
			queue:     queue,
			channel:   channel,
			closed:    channel.NotifyClose(make(chan *amqp091.Error, 1)),
			cancelled: channel.NotifyCancel(make(chan string, 1)),
			acks:      newAcks(channel),
		})
	}
	return nil
}

// consume begins to take messages to the queue, until ctx ends or the session is
// lost.
func (s *session) consume(ctx context.Context, queue transport.Queue) error {
	for _, c := range s.consumers {
		var deliveries <-chan amqp091.Delivery
		err := s.inTime(ctx, func() (err error) {
			deliveries, err = c.channel.Consume(c.queue, consumerTag, false, false, false, false, nil)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: consume queue %q: %w", s.conn.node, c.queue, err)
		}
		s.readers.Go(func() { c.read(ctx, deliveries, queue) })
		s.watches.Go(c.watch)
	}
	return nil
}

// consumerTag is the name of a consumer on its channel.
const consumerTag = "edm"

// most is how many messages are handed over at a time.
const most = 64

// read hands what is delivered to the queue. From the end of ctx on it gives it
// back.
func (c *consumer) read(ctx context.Context, deliveries <-chan amqp091.Delivery, queue transport.Queue) {
	var taken []*message
	var batch []transport.Message
	for d := range deliveries {
		taken = append(taken[:0], c.message(d))
		taken = c.gather(taken, deliveries)
		batch = batch[:0]
		for _, m := range taken {
			batch = append(batch, m)
		}
		c.acks.took(taken)
		n := 0
		if ctx.Err() == nil {
			n, _ = queue.Submit(ctx, batch) // short of all only when the service stops
		}
		for _, m := range batch[n:] {
			m.Settle(nil, transport.ErrStopped)
		}
		clear(batch)
		clear(taken)
	}
}

// gather adds what else is there, without waiting for it: the library hands over one
// delivery at a time, so it is given a chance to put the next one out.
func (c *consumer) gather(taken []*message, deliveries <-chan amqp091.Delivery) []*message {
	yielded := false
	for len(taken) < most {
		select {
		case d, ok := <-deliveries:
			if !ok {
				return taken
			}
			taken, yielded = append(taken, c.message(d)), false
		default:
			if yielded {
				return taken
			}
			runtime.Gosched()
			yielded = true
		}
	}
	return taken
}

func (c *consumer) message(d amqp091.Delivery) *message {
	return &message{consumer: c, delivery: d, tag: d.DeliveryTag}
}

// watch finds out that the broker has ended the channel or the consumer: the
// connection is lost, the queue was deleted, or its leader has moved.
func (c *consumer) watch() {
	select {
	case err := <-c.closed:
		c.lose(err)
	case _, told := <-c.cancelled:
		if !told { // as part of the end of the channel
			c.lose(<-c.closed)
			return
		}
		c.session.lose(fmt.Errorf("%s: the broker has cancelled the consumer of queue %q: the queue was deleted, or moves to another node",
			c.session.conn.node, c.queue), false)
		c.lose(<-c.closed)
	}
}

// lose notes the end of the channel; without an error it was our own doing.
func (c *consumer) lose(err *amqp091.Error) {
	if err == nil {
		err = amqp091.ErrClosed
	}
	c.session.lose(fmt.Errorf("%s: queue %q: %w", c.session.conn.node, c.queue, err), true)
}

// lose ends the session for a reason, the first of which counts. Nothing can be
// acknowledged any more if it is dead.
func (s *session) lose(cause error, dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = s.dead || dead
	if s.cause == nil {
		s.cause = cause
		close(s.lost)
	}
}

// isLost reports whether nothing can be acknowledged any more.
func (s *session) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

// why returns the cause of the end.
func (s *session) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// retire takes no more messages, whose context has ended, gives back at once what
// was delivered and not handed over, waits until the rest is settled, and closes
// the connection. After abandon it waits for nothing.
func (s *session) retire() {
	hung := time.AfterFunc(cancelLimit, s.conn.kill)
	for _, c := range s.consumers {
		_ = c.channel.Cancel(consumerTag, false) // what is lost is cancelled
	}
	s.readers.Wait()
	hung.Stop()
	for _, c := range s.consumers {
		c.acks.awaitSettled()
	}
	for _, c := range s.consumers {
		c.acks.close()
	}
	s.conn.close()
	s.watches.Wait()
}

// abandon has retire wait for no message. What is settled by now is still told to a
// broker that listens, or it would come again.
func (s *session) abandon() {
	time.AfterFunc(abandonLimit, s.conn.kill)
	for _, c := range s.consumers {
		c.acks.abandon()
	}
}

// underWay is how many messages are not settled.
func (s *session) underWay() (n int) {
	for _, c := range s.consumers {
		n += c.acks.count()
	}
	return n
}
