package amqp

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/config"
	"example.com/edm/internal/leftout"
)

// bury makes a dead letter of a message.
func bury(t *testing.T, m *message) error {
	t.Helper()
	kept, err := m.Bury(t.Context(), "the reason", 3)
	if !kept && err == nil {
		t.Error("not kept, and no error")
	}
	return err
}

// Pitfall 60: a dead letter is the whole message, with what there is to know, and
// is with the broker before the message is acknowledged.
func TestDeadLetter(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.QueueType = "quorum"
	q := make(inbox, 1)
	serve(t, c, q)
	b.publish(c, amqp091.Publishing{
		Headers:       amqp091.Table{"tenant": "t1", "CC": []any{queue(c)}},
		ContentType:   "text/csv",
		CorrelationId: "c1",
		ReplyTo:       "nowhere",
		MessageId:     "m1",
		Timestamp:     time.Unix(1700000000, 0),
		Type:          "order",
		AppId:         "shop",
		Expiration:    "60000",
		UserId:        b.url.User.Username(),
		Priority:      3,
		Body:          []byte("whole"),
	})
	m := q.take(t)
	if err := bury(t, m); err != nil {
		t.Fatal(err)
	}
	d := b.get(c.DeadLetterQueue)
	m.Settle(nil, fmt.Errorf("for good"))
	delete(d.Headers, deliveryCount) // of the queue of dead letters
	want := fmt.Sprint(amqp091.Table{
		"tenant": "t1", headerReason: "the reason", headerAttempts: int64(3), headerDeliveries: int64(1),
		headerQueue: queue(c), headerExchange: c.Exchange, headerRoutingKey: "key",
	})
	if got := fmt.Sprint(d.Headers); got != want {
		t.Errorf("headers %s\nwant    %s", got, want)
	}
	got := fmt.Sprint(d.RoutingKey, d.ContentType, d.CorrelationId, d.ReplyTo, d.MessageId, d.Timestamp.Unix(), d.Type, d.AppId, d.Expiration, d.UserId, d.Priority, d.DeliveryMode, string(d.Body))
	if want := fmt.Sprint("key", "text/csv", "c1", "nowhere", "m1", 1700000000, "order", "shop", "", "", 3, amqp091.Persistent, "whole"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A dead letter that no queue takes is none: whoever asked is told so.
func TestDeadLetterWithoutQueue(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	q := make(inbox, 1)
	serve(t, c, q)
	b.publish(c, numbered(1)...)
	m := q.take(t)
	if err := b.channel.QueueUnbind(c.DeadLetterQueue, "", c.DeadLetterExchange, nil); err != nil {
		t.Fatal(err)
	}
	if err := bury(t, m); err == nil || !strings.Contains(err.Error(), "no queue is bound to it") {
		t.Errorf("unbound: %v", err)
	}
	if err := b.channel.ExchangeDelete(c.DeadLetterExchange, false, false); err != nil {
		t.Fatal(err)
	}
	if err := bury(t, m); err == nil { // the broker closes the channel
		t.Error("buried in an exchange that is not there")
	}
	b.serveNothing(c)
	eventually(t, func() bool { return bury(t, m) == nil }, func() string { return "not buried in the exchange that is there again" })
	b.ready(c.DeadLetterQueue, 1)
}

// Without an exchange of the broker's the service keeps them itself.
func TestNoDeadLetterExchange(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.DeadLetterExchange = ""
	q := make(inbox, 1)
	serve(t, c, q)
	b.publish(c, numbered(1)...)
	if kept, err := q.take(t).Bury(t.Context(), "x", 1); kept || err != nil {
		t.Errorf("kept %t, %v", kept, err)
	}
}

func TestTooLarge(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.MaxMessage = 1000
	q := make(inbox, 2)
	s := serve(t, c, q)
	b.publish(c, amqp091.Publishing{Body: make([]byte, 1000)}, amqp091.Publishing{Body: make([]byte, 1001)})
	fits, large := q.take(t), q.take(t)
	if err := fits.Refused(); err != nil {
		t.Errorf("1000 bytes: %v", err)
	}
	if err := large.Refused(); err == nil || !strings.Contains(err.Error(), "max_message") {
		t.Errorf("1001 bytes: %v", err)
	}
	more := *c
	more.MaxMessage = config.Size(1001)
	s.reload(&more)
	if err := large.Refused(); err != nil {
		t.Errorf("after the change: %v", err)
	}
}

// What comes too often, as it ends the process each time, the broker takes out
// itself, to where the other dead letters are; also without an id: pitfall 61.
func TestDeliveryLimit(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.QueueType, c.DeliveryLimit = "quorum", 2
	b.serveNothing(c)
	b.publish(c, amqp091.Publishing{Body: []byte("poison")})
	for n := range 3 {
		q := make(inbox, 1)
		s := serve(t, c, q)
		if m := q.take(t); m.deliveries() != int64(n)+1 {
			t.Errorf("delivery %d, and %d are counted", n+1, m.deliveries())
		}
		_ = s.Close()
		s.wait()
	}
	if d := b.get(c.DeadLetterQueue); string(d.Body) != "poison" {
		t.Errorf("got %q", d.Body)
	}
	b.ready(queue(c), 0)
}

// What the broker wants to have free on its disk, in bytes.
const (
	full  = "9000000000000000"
	roomy = "50000000"
)

// alarm has the broker believe that its disk is full, or is not.
func (b *broker) alarm(limit string) {
	b.t.Helper()
	control := os.Getenv("TEST_AMQP_CTL")
	if control == "" {
		leftout.Skip(b.t, "the tests with an alarm of RabbitMQ, since TEST_AMQP_CTL is not set")
	}
	if out, err := exec.Command(control, "set_disk_free_limit", limit).CombinedOutput(); err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
}

// refused buries a message again and again until the broker does not take it: it
// needs a moment to find out about its disk.
func refused(t *testing.T, m *message) {
	t.Helper()
	eventually(t, func() bool { return bury(t, m) != nil }, func() string { return "buried with a full disk" })
}

// While the broker's disk is full it takes neither replies nor dead letters: nobody
// waits for that for long, the service is not ready, acknowledgements go out, and
// the end is not held up.
func TestDiskAlarm(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	q := make(inbox, 10)
	s := serve(t, c, q)
	b.publish(c, amqp091.Publishing{Body: []byte("a")}, amqp091.Publishing{Body: []byte("b")}, amqp091.Publishing{Body: []byte("c"), ReplyTo: "nowhere"})
	first, second, asks := q.take(t), q.take(t), q.take(t)
	if err := bury(t, first); err != nil {
		t.Fatal(err)
	}
	b.alarm(full)
	cleared := false
	clear := func() {
		if !cleared {
			b.alarm(roomy)
			cleared = true
		}
	}
	t.Cleanup(clear)
	refused(t, second)
	s.isAway(true)
	if want := "the broker takes no replies and dead letters"; s.Away() != want {
		t.Errorf("away %q, want %q", s.Away(), want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), confirmLimit/2)
	if _, err := second.Bury(ctx, "again", 3); err == nil || ctx.Err() != nil {
		t.Errorf("the second time: %v, %v", err, ctx.Err())
	}
	cancel()
	first.Settle(nil, nil)
	asks.Settle([]byte("reply"), nil)
	eventually(t, func() bool { return strings.Contains(s.Status(), ", 1 under way") }, s.Status)

	clear()
	s.isAway(false)
	eventually(t, func() bool { return bury(t, second) == nil }, func() string { return "not buried when the disk has room again" })
	second.Settle(nil, nil)
	s.stop()
	b.ready(queue(c), 0)
}

// Nor does the end wait for a broker that takes nothing any more.
func TestStopInDiskAlarm(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	q := make(inbox, 10)
	s := serve(t, c, q)
	b.publish(c, amqp091.Publishing{Body: []byte("a")}, amqp091.Publishing{Body: []byte("b"), ReplyTo: "nowhere"})
	first, asks := q.take(t), q.take(t)
	b.alarm(full)
	t.Cleanup(func() { b.alarm(roomy) })
	refused(t, first)
	s.isAway(true)
	asks.Settle([]byte("reply"), nil)
	first.Settle(nil, nil)
	s.stop()
	if n := s.replier.lost.Load(); n != 1 {
		t.Errorf("%d replies lost, want 1", n)
	}
	if n := s.log.Count("a reply could not be sent"); n != 1 {
		t.Errorf("told %d times", n)
	}
	b.ready(queue(c), 0)
}
