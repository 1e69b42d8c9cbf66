//go:build linux

package bench

import (
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

const (
	amqpMessages = 100000
	amqpSize     = 200 // bytes of each
	amqpRounds   = 3
	amqpQueue    = "daemongen-bench"
)

// BenchmarkAMQP drains a queue of 100,000 messages of 200 bytes, from the start of
// the program to the last acknowledgement: what daemongen writes, with a handler
// that does nothing, and the library by hand (testdata/amqpbyhand), which
// acknowledges each message, or none and does no more than receive.
//
// The bars are a ratio of 1.4 to the one that acknowledges each, and of 0.85 to the
// one that acknowledges none.
func BenchmarkAMQP(b *testing.B) {
	broker := server(b, "TEST_AMQP_URL")
	dir := folder(b)
	project, program, byHand := filepath.Join(dir, "project"), filepath.Join(dir, "feed"), buildByHand(b, "amqpbyhand")
	run(b, "", nil, "go", "run", "../cmd/daemongen", "new", "feed", "--dir", project, "--yes", "--transport", "amqp", "--database", "none")
	run(b, project, nil, "go", "build", "-o", program, "./cmd/feed")
	queue := newAMQPQueue(b, broker, amqpQueue)
	ours := amqpService{b, program, amqpEnvironment(b, dir, broker)}

	fill := func() { queue.fill(func(int) []byte { return make([]byte, amqpSize) }) }
	rate := func(drain func()) func() float64 {
		return func() float64 {
			began := time.Now()
			drain()
			return amqpMessages / time.Since(began).Seconds()
		}
	}
	theirs := func(way string) contestant {
		return contestant{"acks-" + way, fill, rate(func() {
			run(b, "", nil, byHand, broker, amqpQueue, strconv.Itoa(amqpMessages), way)
		})}
	}
	contest(b, amqpRounds, []contestant{
		{"daemongen", fill, rate(func() { ours.drain(queue) })},
		theirs("each"), theirs("none"),
	})
}

// amqpEnvironment are the variables of a service that takes what is in the queue,
// which it finds there.
func amqpEnvironment(b *testing.B, dir, broker string) []string {
	b.Helper()
	u, err := url.Parse(broker)
	if err != nil {
		b.Fatal(err)
	}
	password, _ := u.User.Password()
	file := filepath.Join(dir, "feed.toml")
	text := "[transport.amqp]\nqueues = { " + amqpQueue + " = [] }\nexchange = \"\"\ndeclare = false\ndead_letter_exchange = \"\"\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	return []string{
		"FEED_CONFIG=" + file,
		"FEED_DAEMON_USER=nobody",
		"FEED_DAEMON_RUN_DIR=" + filepath.Join(dir, "run"),
		"FEED_DAEMON_STATE_DIR=" + filepath.Join(dir, "state"),
		"FEED_TRANSPORT_AMQP_URLS=amqp://" + u.Host + u.Path,
		"FEED_TRANSPORT_AMQP_USERNAME=" + u.User.Username(),
		"FEED_TRANSPORT_AMQP_PASSWORD=" + password,
		"LOGS_DIRECTORY=" + filepath.Join(dir, "log"),
	}
}

// amqpService is the project's program.
type amqpService struct {
	b       *testing.B
	program string
	env     []string
}

// drain runs the service until all is handled, and acknowledged: it stops in order.
func (s amqpService) drain(queue *amqpQueueOf) {
	run(s.b, "", s.env, s.program, "start")
	for began := time.Now(); queue.waiting() > 0 || s.done() < amqpMessages; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			s.b.Fatalf("%d messages handled within a minute, %d wait", s.done(), queue.waiting())
		}
	}
	run(s.b, "", s.env, s.program, "stop")
	if n := queue.waiting(); n > 0 {
		s.b.Fatalf("%d messages were not acknowledged", n)
	}
}

// done is how many messages the service has handled.
func (s amqpService) done() int {
	s.b.Helper()
	cmd := exec.Command(s.program, "--json", "status")
	cmd.Env = append(os.Environ(), s.env...)
	out, err := cmd.Output()
	if err != nil {
		s.b.Fatalf("status: %v", errors.Join(err, errors.New(string(out))))
	}
	var answer struct{ Status struct{ Done int } }
	if err := json.Unmarshal(out, &answer); err != nil {
		s.b.Fatal(err)
	}
	return answer.Status.Done
}

// amqpQueueOf is the queue on the broker.
type amqpQueueOf struct {
	b       *testing.B
	name    string
	channel *amqp091.Channel
}

// newAMQPQueue makes the queue, for the length of the benchmark.
func newAMQPQueue(b *testing.B, broker, name string) *amqpQueueOf {
	b.Helper()
	// It is idle for as long as others keep the broker busy.
	conn, err := amqp091.DialConfig(broker, amqp091.Config{Heartbeat: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err == nil {
		_, err = channel.QueueDeclare(name, true, false, false, false, nil)
	}
	if err == nil {
		_, err = channel.QueuePurge(name, false) // of a run that was ended
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_, _ = channel.QueueDelete(name, false, false, false)
		_ = conn.Close()
	})
	return &amqpQueueOf{b, name, channel}
}

// fill puts all messages into the queue, and has the broker confirm them.
func (q *amqpQueueOf) fill(body func(number int) []byte) {
	q.b.Helper()
	var last *amqp091.DeferredConfirmation
	for i := range amqpMessages {
		var err error
		last, err = q.channel.PublishWithDeferredConfirm("", q.name, false, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: body(i)})
		if err != nil {
			q.b.Fatal(err)
		}
	}
	if !last.Wait() || q.waiting() != amqpMessages {
		q.b.Fatalf("%d messages are in the queue", q.waiting())
	}
}

// waiting is how many messages are in the queue and not delivered.
func (q *amqpQueueOf) waiting() int {
	q.b.Helper()
	state, err := q.channel.QueueDeclarePassive(q.name, true, false, false, false, nil)
	if err != nil {
		q.b.Fatal(err)
	}
	return state.Messages
}

// abandoned is how many messages are in the queue once nobody takes from it.
func (q *amqpQueueOf) abandoned() int {
	q.b.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		state, err := q.channel.QueueDeclarePassive(q.name, true, false, false, false, nil)
		if err != nil {
			q.b.Fatal(err)
		}
		if state.Consumers == 0 {
			return state.Messages
		}
		if time.Since(began) > time.Minute {
			q.b.Fatalf("%d still take from the queue a minute after they have ended", state.Consumers)
		}
	}
}
