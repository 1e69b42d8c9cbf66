package amqp

// The broker of the tests, and what they do with it.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/config"
	"example.com/edm/internal/leftout"
	"example.com/edm/internal/proxytest"
	"example.com/edm/internal/transport"
	"example.com/edm/internal/transport/transporttest"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

func TestMain(m *testing.M) { os.Exit(leftout.Main(m)) }

// broker is the real one, with a connection to look into it.
type broker struct {
	t       *testing.T
	url     *url.URL
	channel *amqp091.Channel // of the test alone
	conn    *amqp091.Connection
}

// newBroker returns the broker, without which the test is left out.
func newBroker(t *testing.T) *broker {
	t.Helper()
	text := leftout.Service(t, "TEST_AMQP_URL", "RabbitMQ")
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal("TEST_AMQP_URL is no URL")
	}
	b := &broker{t: t, url: u}
	b.connect()
	t.Cleanup(func() { _ = b.conn.Close() })
	return b
}

func (b *broker) connect() {
	b.t.Helper()
	var err error
	if b.conn, err = amqp091.Dial(b.url.String()); err == nil {
		err = b.open()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) open() (err error) {
	if b.channel, err = b.conn.Channel(); err == nil {
		err = b.channel.Confirm(false)
	}
	return err
}

// config returns a section with names of its own, the exchanges and queues of which
// are removed with the test.
func (b *broker) config() *Config {
	password, _ := b.url.User.Password()
	c := Default().(*Config)
	name := "test-" + strings.ToLower(rand.Text())
	c.URLs = []string{"amqp://" + b.url.Host + b.url.Path}
	c.Username, c.Password = b.url.User.Username(), config.Secret(password)
	c.Exchange, c.DeadLetterExchange, c.DeadLetterQueue = name, name+".dead", name+".dead"
	c.Queues = map[string][]string{name: {"key"}}
	c.QueueType = "classic" // quicker to make; what differs has tests of its own
	b.t.Cleanup(func() {
		for _, queue := range append(c.queues(), c.DeadLetterQueue) {
			b.try(func() error { _, err := b.channel.QueueDelete(queue, false, false, false); return err })
		}
		for _, exchange := range []string{c.Exchange, c.DeadLetterExchange} {
			b.try(func() error { return b.channel.ExchangeDelete(exchange, false, false) })
		}
	})
	return c
}

// try does something, after which there is a channel again.
func (b *broker) try(do func() error) {
	b.t.Helper()
	if do() == nil {
		return
	}
	if err := b.open(); err != nil {
		b.t.Error(err)
	}
}

// queue is the one queue of a section.
func queue(c *Config) string { return c.queues()[0] }

// publish has the broker keep messages in the queue of c.
func (b *broker) publish(c *Config, messages ...amqp091.Publishing) {
	b.t.Helper()
	var last *amqp091.DeferredConfirmation
	for _, m := range messages {
		m.DeliveryMode = amqp091.Persistent
		confirmation, err := b.channel.PublishWithDeferredConfirm(c.Exchange, c.Queues[queue(c)][0], true, false, m)
		if err != nil {
			b.t.Fatal(err)
		}
		last = confirmation
	}
	if last != nil && !last.Wait() {
		b.t.Fatal("not kept by the broker")
	}
}

// numbered are messages with their numbers as bodies and ids.
func numbered(n int) (messages []amqp091.Publishing) {
	for i := range n {
		messages = append(messages, amqp091.Publishing{MessageId: fmt.Sprint("id ", i), Body: fmt.Append(nil, i)})
	}
	return messages
}

// ready is how many messages wait in a queue; the broker gets some time to count
// so many.
func (b *broker) ready(queue string, want int) {
	b.t.Helper()
	got := -1
	eventually(b.t, func() bool {
		q, err := b.channel.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		got = q.Messages
		return got == want
	}, func() string { return fmt.Sprintf("%d messages wait in queue %s, want %d", got, queue, want) })
}

// get takes a message from a queue, where there has to be one.
func (b *broker) get(queue string) (d amqp091.Delivery) {
	b.t.Helper()
	eventually(b.t, func() (ok bool) {
		var err error
		if d, ok, err = b.channel.Get(queue, true); err != nil {
			b.t.Fatal(err)
		}
		return ok
	}, func() string { return "no message in queue " + queue })
	return d
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool, otherwise func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise())
		}
	}
}

// inbox is a queue that holds messages until the test takes them.
type inbox chan transport.Message

// Submit implements transport.Queue.
func (q inbox) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	return transporttest.Queue(q).Submit(ctx, messages)
}

func (q inbox) take(t *testing.T) *message {
	t.Helper()
	select {
	case m := <-q:
		return m.(*message)
	case <-time.After(patience):
		t.Fatal("no message came")
		return nil
	}
}

// echo is a queue that settles each message at once, with its body as the reply.
type echo struct {
	mu   sync.Mutex
	seen map[string]int // how often each body came
}

// Submit implements transport.Queue.
func (e *echo) Submit(_ context.Context, messages []transport.Message) (int, error) {
	for _, m := range messages {
		e.mu.Lock()
		if e.seen == nil {
			e.seen = make(map[string]int)
		}
		e.seen[string(m.Body())]++
		e.mu.Unlock()
		m.Settle(m.Body(), nil)
	}
	return len(messages), nil
}

// count is how many different messages came.
func (e *echo) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.seen)
}

// served is a transport that serves until the test ends.
type served struct {
	*Transport
	t       *testing.T
	log     *transporttest.Journal
	end     context.CancelFunc
	ended   chan error
	changes chan struct{} // each change of Away; holds one
}

// serve makes a transport and serves it. At the end nothing is left of it.
func serve(t *testing.T, c *Config, q transport.Queue) *served {
	t.Helper()
	s := connect(t, c)
	s.begin(q)
	return s
}

// connect makes a transport.
func connect(t *testing.T, c *Config) *served {
	t.Helper()
	noLeaks(t)
	s := &served{t: t, log: new(transporttest.Journal), ended: make(chan error, 1), changes: make(chan struct{}, 1)}
	made, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(s.log, nil)), Changed: func() { signal(s.changes) }})
	if err != nil {
		t.Fatal(err)
	}
	s.Transport = made.(*Transport)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (s *served) begin(q transport.Queue) {
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	go func() { s.ended <- s.Serve(ctx, q) }()
	s.t.Cleanup(func() {
		_ = s.Close()
		s.wait()
	})
}

// stop ends taking messages and returns when all are settled.
func (s *served) stop() {
	s.t.Helper()
	s.end()
	s.wait()
}

func (s *served) wait() {
	s.t.Helper()
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Error(err)
		}
		s.ended <- nil // for the next who asks
	case <-time.After(patience):
		s.t.Error("Serve does not return")
	}
}

// isAway waits until the transport is away, or is not.
func (s *served) isAway(want bool) {
	s.t.Helper()
	eventually(s.t, func() bool { return (s.Away() != "") == want }, func() string {
		return fmt.Sprintf("away %q, status %s\n%s", s.Away(), s.Status(), s.log)
	})
}

// noLeaks checks at the end of the test that there are no more goroutines and
// descriptors than now: pitfall 65.
func noLeaks(t *testing.T) {
	t.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors()
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines || countDescriptors() > descriptors; time.Sleep(2 * time.Millisecond) {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Errorf("left behind: %d goroutines and %d descriptors, of %d and %d before\n%s",
					runtime.NumGoroutine(), countDescriptors(), goroutines, descriptors, stacks[:runtime.Stack(stacks, true)])
				return
			}
		}
	})
}

// countDescriptors is 0 on systems that do not list them in a folder.
func countDescriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// through has a section reach the broker by the proxy.
func through(p *proxytest.Proxy, c *Config) *Config {
	c.URLs = []string{"amqp://" + p.Address() + "/"}
	return c
}

var discard = slog.New(slog.DiscardHandler)

// away checks that an error is one that a start waits for, or is none.
func away(t *testing.T, err error, want bool) {
	t.Helper()
	var u interface{ Unavailable() bool }
	if got := errors.As(err, &u) && u.Unavailable(); got != want {
		t.Errorf("unavailable %t, want %t: %v", got, want, err)
	}
}
