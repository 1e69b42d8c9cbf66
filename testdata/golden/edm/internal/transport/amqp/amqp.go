// Package amqp takes messages from the queues of a broker that speaks AMQP 0-9-1,
// such as RabbitMQ (github.com/rabbitmq/amqp091-go).
//
// A message is acknowledged when its work is safe; until then the broker keeps it,
// and delivers it again if the service is stopped, or dies, or the connection is
// lost. So every message is handled at least once. The sender gives it a
// message_id by which the handler can tell that it has had it before; such a
// message is found out, too, if it ends the process each time. Without one it
// takes a quorum queue, and its delivery_limit, to end that.
//
// What failed for good goes to the dead-letter exchange, with the reason in its
// headers, and is acknowledged when the broker keeps it there. Whoever sets
// reply_to gets the reply of the handler, with his correlation_id. A reply can be
// lost, the message can't.
//
// # Memory
//
// A client has to take whole what it is delivered: prefetch times the largest
// message that the broker takes (16 MiB by default as of RabbitMQ 4.0, 128 MiB
// before) is what each queue can cost at worst, and a reason to lower one of them
// where strangers send. What is larger than max_message is not handled.
//
// # Lost connections
//
// The library can repair a connection (Config.Recovery), and this package makes a
// new one instead. A repaired channel is the same value with delivery tags that
// begin at 1 again, and nothing keeps an acknowledgement of before from being sent
// on it: it would be that of another message, which then is lost if the process
// ends. Besides, the library gives up after some tries, knows one host, has a
// fixed pause with half a second of jitter, and closes no sooner than a repair that
// is under way has ended.
package amqp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"example.com/edm/internal/transport"
)

// Transport serves the section [transport.amqp]. It implements transport.Remote.
type Transport struct {
	log       *slog.Logger
	notify    func() // what Away returns may be another; nil: nobody wants to know
	publisher *publisher
	replier   *replier

	settings atomic.Pointer[Config] // what it points to is never written to

	longest time.Duration // pause between attempts to connect; 0: longestPause

	swap chan struct{} // there is a next session; has room for one

	mu      sync.Mutex
	state   state
	current *session              // that messages come from, or are about to; nil: the broker is away, or nobody takes any yet
	next    *session              // to take its place
	live    map[*session]struct{} // all that are not closed
	end     context.CancelFunc    // ends taking messages; nil before Serve

	node     int // the next to try, a number in urls; of one goroutine at a time
	retiring sync.WaitGroup
}

// A Transport passes through its states in this order; it may leave some out.
type state int

const (
	connected state = iota
	serving
	stopping
	closed
)

var _ transport.Remote = (*Transport)(nil)

// New implements transport.Config: it connects to the broker, and makes, or looks
// up, what messages come from. It takes none yet.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	t := &Transport{
		log:    env.Log,
		notify: env.Changed,
		swap:   make(chan struct{}, 1),
		live:   make(map[*session]struct{}),
	}
	settings := *c
	t.settings.Store(&settings)
	t.publisher = newPublisher(t)
	t.replier = newReplier(t.publisher, t.log)
	first, err := t.openAny(context.Background(), &settings)
	if err != nil {
		return nil, err
	}
	t.add(first)
	t.next = first
	return t, nil
}

// openAny connects to the first node that can be reached. The error is unavailable
// only if all are.
func (t *Transport) openAny(ctx context.Context, c *Config) (*session, error) {
	if why := c.Unused(); why != "" {
		return nil, errors.New(why)
	}
	var errs []error
	for _, node := range c.URLs {
		s, err := t.open(ctx, c, node)
		if err == nil {
			return s, nil
		}
		if _, away := errors.AsType[unavailableError](err); !away {
			return nil, err
		}
		errs = append(errs, err)
	}
	return nil, unavailableError{errors.Join(errs...)}
}

// Serve implements transport.Transport.
func (t *Transport) Serve(ctx context.Context, queue transport.Queue) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !t.begin(end) {
		return nil
	}
	go t.replier.run()
	t.serve(ctx, queue)
	t.enter(stopping)
	t.retiring.Wait()
	t.replier.stop()
	t.publisher.close()
	t.enter(closed)
	return nil
}

// begin reports whether there is anything to serve.
func (t *Transport) begin(end context.CancelFunc) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != connected {
		return false
	}
	t.state, t.end = serving, end
	return true
}

// enter notes that the transport has come to a state, unless it is past it.
func (t *Transport) enter(next state) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = max(t.state, next)
}

// serve takes messages from one session after the other until ctx ends.
func (t *Transport) serve(ctx context.Context, queue transport.Queue) {
	pauses := backoff{longest: t.longest}
	for ctx.Err() == nil {
		s := t.take()
		if s == nil {
			s = t.reconnect(ctx, &pauses)
		}
		if s == nil {
			break
		}
		begun := time.Now()
		taking, stop := context.WithCancel(ctx)
		if err := s.consume(taking, queue); err != nil {
			s.lose(err, false)
		} else {
			t.setCurrent(s)
		}
		if t.await(ctx, s); s.why() != nil && ctx.Err() == nil {
			t.setCurrent(nil)
			t.log.Warn("messages come no more, connecting again", "error", s.why())
		}
		if time.Since(begun) > time.Second {
			pauses.bound = 0 // else something ends each session as it begins
		}
		t.retiring.Go(func() {
			stop()
			s.retire()
			t.remove(s)
		})
	}
	if s := t.take(); s != nil {
		s.abandon()
		s.retire()
		t.remove(s)
	}
}

// await returns when messages are not to be taken from s any more: it is lost, a
// reload has brought another one, or ctx has ended.
func (t *Transport) await(ctx context.Context, s *session) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lost:
			return
		case <-t.swap: // for a session that was taken already, or one that is there
			t.mu.Lock()
			fresh := t.next != nil
			t.mu.Unlock()
			if fresh {
				return
			}
		}
	}
}

// reconnect tries one node after the other until one is there, ctx ends, or a
// reload has brought a session. What is wrong it logs once.
func (t *Transport) reconnect(ctx context.Context, pauses *backoff) *session {
	begin, told := time.Now(), ""
	for {
		pause := time.NewTimer(pauses.next())
		select {
		case <-pause.C:
		case <-t.swap:
			pause.Stop()
			if s := t.take(); s != nil {
				return s
			}
			continue
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
		c := t.settings.Load()
		t.node++
		s, err := t.open(ctx, c, c.URLs[t.node%len(c.URLs)])
		if err == nil {
			t.add(s)
			t.log.Info("connected again", "node", s.conn.node, "after", time.Since(begin).Round(time.Millisecond))
			return s
		}
		if text := err.Error(); text != told && ctx.Err() == nil {
			told = text
			t.log.Warn("the broker can't be used, trying on", "error", err)
		}
	}
}

// take returns the session that is to be the next, if there is one. It is connected,
// and so the transport is not away before messages come from it.
func (t *Transport) take() *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.next
	if s != nil {
		t.current, t.next = s, nil
	}
	return s
}

// setCurrent notes which session messages come from.
func (t *Transport) setCurrent(s *session) {
	t.mu.Lock()
	t.current = s
	t.mu.Unlock()
	t.changed()
}

// changed tells the service that Away may return something else.
func (t *Transport) changed() {
	if t.notify != nil {
		t.notify()
	}
}

// add notes a session that has to be closed; one that comes too late is, at once.
func (t *Transport) add(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live[s] = struct{}{}
	if t.state == closed {
		s.abandon()
	}
}

func (t *Transport) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, s)
	if t.current == s {
		t.current = nil
	}
}

// Retire implements transport.Transport: the queues are those of the other process
// as well.
func (t *Transport) Retire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = max(t.state, stopping)
	if t.end != nil {
		t.end()
	} else if t.next != nil {
		t.discard(t.next)
		t.next = nil
	}
}

// discard closes a session that nobody has consumed, which takes closeLimit at
// most. Nobody waits for it.
func (t *Transport) discard(s *session) {
	go func() {
		s.retire()
		t.remove(s)
	}()
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.state = closed
	for s := range t.live {
		s.abandon()
	}
	var unserved *session
	if t.end != nil {
		t.end() // and Serve sees to the rest
	} else {
		unserved, t.next = t.next, nil
	}
	t.mu.Unlock()
	t.publisher.kill()
	if unserved != nil {
		unserved.retire()
		t.remove(unserved)
	}
	return nil
}

// Away implements transport.Remote.
func (t *Transport) Away() string {
	t.mu.Lock()
	s, next, state := t.current, t.next, t.state
	t.mu.Unlock()
	switch {
	case state > serving:
		return ""
	case s == nil && next == nil:
		return "the broker is not reachable"
	case t.publisher.isBlocked():
		return "the broker takes no replies and dead letters"
	}
	return ""
}

// Status implements transport.Transport.
func (t *Transport) Status() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	what := "not connected"
	switch {
	case t.state == closed:
		what = "closed"
	case t.state == stopping:
		what = "stopping"
	case t.current != nil:
		what = "consuming from " + t.current.conn.node
	case t.next != nil:
		what = "connected to " + t.next.conn.node
	}
	underWay := 0
	for s := range t.live {
		underWay += s.underWay()
	}
	return fmt.Sprintf("%s, %d under way, %d replies lost", what, underWay, t.replier.lost.Load())
}
