package amqp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/transport"
)

// What is handled is acknowledged, in both types of queues, and what is not handled
// when the service stops is the broker's again.
func TestHandled(t *testing.T) {
	for _, kind := range []string{"quorum", "classic"} {
		t.Run(kind, func(t *testing.T) {
			b := newBroker(t)
			c := b.config()
			c.QueueType, c.Prefetch = kind, 10
			q := make(inbox, 5)
			s := serve(t, c, q)
			b.publish(c, numbered(20)...)
			var ms []*message
			for range 8 {
				ms = append(ms, q.take(t))
			}
			for i, m := range ms[:3] {
				if string(m.Body()) != fmt.Sprint(i) || m.ID() != fmt.Sprint("id ", i) || m.Redelivered() {
					t.Errorf("message %d is %q, %q, redelivered %t", i, m.Body(), m.ID(), m.Redelivered())
				}
				m.Settle(nil, nil)
			}
			if got := s.Status(); !strings.Contains(got, "consuming from "+b.url.Host) {
				t.Error(got)
			}
			s.end()
			if kind == "classic" { // a quorum queue counts who has cancelled as well, until all is acknowledged
				b.unconsumed(queue(c))
			}
			for len(q) > 0 { // what the workers have not begun with goes back as well
				(<-q).Settle(nil, transport.ErrStopped)
			}
			ms[3].Settle(nil, transport.ErrStopped)
			for _, m := range ms[4:] {
				select {
				case err := <-s.ended:
					t.Fatalf("Serve returned before all was settled: %v", err)
				default:
				}
				for len(q) > 0 {
					(<-q).Settle(nil, transport.ErrStopped)
				}
				m.Settle(nil, nil)
			}
			s.wait()
			b.ready(queue(c), 20-3-4)
		})
	}
}

// unconsumed waits until a queue has no consumer, and for as long again.
func (b *broker) unconsumed(queue string) {
	b.t.Helper()
	consumers := func() int {
		q, err := b.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		return q.Consumers
	}
	eventually(b.t, func() bool { return consumers() == 0 }, func() string { return "queue " + queue + " is consumed" })
	for range 50 { // nothing is to happen meanwhile
		consumers()
	}
}

// A transport that is connected is not away before messages come from it.
func TestConnectedIsNotAway(t *testing.T) {
	b := newBroker(t)
	s := connect(t, b.config())
	if s.Away() != "" {
		t.Errorf("away %q", s.Away())
	}
	first := s.take()
	if s.Away() != "" {
		t.Errorf("away %q between two sessions", s.Away())
	}
	s.mu.Lock()
	s.next = first
	s.mu.Unlock()
}

// late is a queue that takes whatever comes, after it was told to; the first who
// comes waits for that.
type late struct {
	entered, told chan struct{}
	taken         []int // how many each time
}

// Submit implements transport.Queue.
func (l *late) Submit(_ context.Context, messages []transport.Message) (int, error) {
	if len(l.taken) == 0 {
		close(l.entered)
		<-l.told
	}
	l.taken = append(l.taken, len(messages))
	for _, m := range messages {
		m.Settle(nil, nil)
	}
	return len(messages), nil
}

// Pitfall 56: what is delivered and not handed over when the service stops goes back
// to the broker, and not to a queue that would still take it.
func TestStopGivesBackTheRest(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	b.serveNothing(c)
	b.publish(c, numbered(200)...)
	q := &late{entered: make(chan struct{}), told: make(chan struct{})}
	s := serve(t, c, q)
	<-q.entered
	b.ready(queue(c), 0)
	s.end()
	close(q.told)
	s.wait()
	if len(q.taken) != 1 {
		t.Fatalf("taken %v, want one of them", q.taken)
	}
	b.ready(queue(c), 200-q.taken[0])
}

// Pitfall 66: no more is taken than prefetch says.
func TestPrefetch(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Prefetch = 7
	q := make(inbox, 100)
	s := serve(t, c, q)
	b.publish(c, numbered(50)...)
	b.ready(queue(c), 50-7) // ready does not count what is delivered
	first := q.take(t)
	for len(q) < 6 {
		q <- q.take(t)
	}
	first.Settle(nil, nil)
	b.ready(queue(c), 50-8)
	if n := len(q); n > 7 {
		t.Errorf("%d messages under way", n)
	}
	// What the broker has sent off is on its way to us for a moment.
	eventually(t, func() bool { return strings.HasSuffix(s.Status(), ", 7 under way, 0 replies lost") }, s.Status)
}

// A reply goes to who has asked for one, and to nobody else.
func TestReplies(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	q := make(inbox, 10)
	s := serve(t, c, q)
	replies, err := b.channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(id string) amqp091.Publishing {
		return amqp091.Publishing{ReplyTo: replies.Name, CorrelationId: id, ContentType: "text/csv", Body: []byte(id)}
	}
	b.publish(c, ask("one"), amqp091.Publishing{Body: []byte("two")}, ask("three"), ask("four"), ask("five"))
	q.take(t).Settle([]byte("TRUE"), nil)
	q.take(t).Settle([]byte("nobody asked"), nil)
	q.take(t).Settle([]byte("SORRY"), errors.New("for good"))
	q.take(t).Settle(nil, transport.ErrStopped)
	q.take(t).Settle([]byte("last"), nil)
	s.end()
	for _, want := range []string{"one TRUE", "three SORRY", "five last"} {
		d := b.get(replies.Name)
		if got := d.CorrelationId + " " + string(d.Body); got != want || d.ContentType != "text/csv" {
			t.Errorf("%q as %s, want %q", got, d.ContentType, want)
		}
	}
	for len(q) > 0 {
		(<-q).Settle(nil, transport.ErrStopped)
	}
	s.wait() // pitfall 56: what is settled by the end is sent
	b.ready(queue(c), 1)
}

// The pseudo-queue of a requester who has none of his own works as well.
func TestDirectReply(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	const direct = "amq.rabbitmq.reply-to"
	replies, err := b.channel.Consume(direct, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, c, &echo{})
	b.publish(c, amqp091.Publishing{ReplyTo: direct, CorrelationId: "7", Body: []byte("hello")})
	if d := <-replies; string(d.Body) != "hello" || d.CorrelationId != "7" {
		t.Errorf("%q to %q", d.Body, d.CorrelationId)
	}
}

func TestKeys(t *testing.T) {
	c := Default().(*Config)
	c.OrderHeader = "device"
	s := &session{transport: &Transport{}}
	s.transport.settings.Store(c)
	m := &message{consumer: &consumer{session: s}, delivery: amqp091.Delivery{
		RoutingKey: "orders.7", CorrelationId: "c9", Headers: amqp091.Table{"device": int32(4)},
	}}
	for of, want := range map[string]string{
		"routing_key": "amqp orders.7 true", "correlation_id": "amqp c9 true", "header": "amqp 4 true", "connection": " false",
	} {
		key, ok := m.Key(of)
		if got := fmt.Sprint(key, " ", ok); got != want {
			t.Errorf("%s: %q, want %q", of, got, want)
		}
	}
	m.delivery.Headers, m.delivery.CorrelationId = nil, ""
	for _, of := range []string{"header", "correlation_id"} {
		if key, ok := m.Key(of); ok {
			t.Errorf("%s: %q of a message that has none", of, key)
		}
	}
	for _, of := range c.Keys() {
		if _, ok := map[string]bool{"routing_key": true, "correlation_id": true, "header": true}[of]; !ok {
			t.Errorf("offers %q", of)
		}
	}
}

// Pitfall 61: a message that comes again says so, with the ID that it had, and a
// quorum queue counts.
func TestRedelivered(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.QueueType = "quorum"
	b.serveNothing(c)
	b.publish(c, amqp091.Publishing{MessageId: "poison", Body: []byte("x")})
	for n := range int64(3) {
		q := make(inbox, 1)
		s := serve(t, c, q)
		m := q.take(t)
		if m.ID() != "poison" || m.Redelivered() != (n > 0) || m.deliveries() != n+1 {
			t.Errorf("delivery %d: %q, redelivered %t, %d deliveries", n+1, m.ID(), m.Redelivered(), m.deliveries())
		}
		if err := s.Close(); err != nil { // as if the process had died
			t.Error(err)
		}
		s.wait()
	}
}

// serveNothing makes what a section wants made.
func (b *broker) serveNothing(c *Config) {
	b.t.Helper()
	if err := c.settle(b.channel); err != nil {
		b.t.Fatal(err)
	}
}

// A section without a server makes no transport.
func TestUnused(t *testing.T) {
	if _, err := Default().New(transport.Env{Log: discard}); err == nil || err.Error() != "urls is empty" {
		t.Error(err)
	}
}

// Retire and the end leave nothing to do, at any time and in any order.
func TestLife(t *testing.T) {
	b := newBroker(t)
	for name, act := range map[string]func(s *served, q inbox){
		"close before serve":  func(s *served, q inbox) { _ = s.Close(); s.begin(q) },
		"retire before serve": func(s *served, q inbox) { s.Retire(); s.Retire(); s.begin(q) },
		"retire":              func(s *served, q inbox) { s.begin(q); s.isAway(false); s.Retire() },
		"close twice":         func(s *served, q inbox) { s.begin(q); _ = s.Close(); _ = s.Close() },
		"never served":        func(s *served, q inbox) { s.ended <- nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := connect(t, b.config())
			act(s, make(inbox))
			s.wait()
			_ = s.Close()
			if _, err := s.Reload(Default()); !errors.Is(err, transport.ErrStopped) {
				t.Errorf("reload: %v", err)
			}
		})
	}
}

// Several queues, each with its keys, and a fanout without.
func TestQueues(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	first := queue(c)
	c.ExchangeType = "topic"
	c.Queues = map[string][]string{first: {"order.*", "mail"}, first + "-b": nil}
	e := &echo{}
	serve(t, c, e)
	for _, key := range []string{"order.new", "mail", first + "-b"} {
		if err := b.channel.Publish(c.Exchange, key, true, false, amqp091.Publishing{Body: []byte(key)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return e.count() == 3 }, func() string { return fmt.Sprint(e.seen) })
}
