package templates_test

// Every way into a service while that is ended again and again: what becomes of each
// message.

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// insistent are the senders of one way in: each sends a message until it is taken,
// and then the next.
type insistent struct {
	name    string
	senders int
	// open makes a sender: what it returns makes one attempt with a message, and
	// reports whether the service has taken it for good.
	open func(ctx context.Context, f *feed) (attempt func(message string) bool, closed func())

	taken  []atomic.Int64  // by each sender: so many, from message 0 on
	vain   atomic.Int64    // attempts that may have been stored all the same
	ctx    context.Context // ends when nothing more is to be sent
	ending context.CancelFunc
	group  sync.WaitGroup
}

// message is the n-th of a sender.
func (s *insistent) message(sender, n int) string { return fmt.Sprintf("%s %d %d", s.name, sender, n) }

func (s *insistent) begin(f *feed) {
	ctx, cancel := context.WithCancel(context.Background())
	s.ctx, s.ending, s.taken = ctx, cancel, make([]atomic.Int64, s.senders)
	for sender := range s.senders {
		s.group.Go(func() {
			attempt, closed := s.open(ctx, f)
			defer closed()
			for n := 0; ctx.Err() == nil; n++ {
				for !attempt(s.message(sender, n)) {
					s.vain.Add(1)
					if ctx.Err() != nil {
						return
					}
				}
				s.taken[sender].Add(1)
			}
		})
	}
}

// end returns when nothing more is sent. It may be called twice.
func (s *insistent) end() {
	s.ending()
	s.group.Wait()
}

// sends reports whether there is more to come.
func (s *insistent) sends() bool { return s.ctx.Err() == nil }

// total is how many messages are taken.
func (s *insistent) total() (total int64) {
	for sender := range s.senders {
		total += s.taken[sender].Load()
	}
	return total
}

// keepsAsking sends a message again on a new connection, by a dialler, until it is
// answered TRUE.
func keepsAsking(dial func() (net.Conn, error)) func(context.Context, *feed) (func(string) bool, func()) {
	return func(context.Context, *feed) (func(string) bool, func()) {
		var conn *lineConn
		leave := func() {
			if conn != nil {
				_ = conn.Close()
				conn = nil
			}
		}
		return func(message string) bool {
			if conn == nil {
				nc, err := dial()
				if err != nil {
					time.Sleep(time.Millisecond) // the service is down for a moment
					return false
				}
				conn = &lineConn{nc, bufio.NewReader(nc)}
			}
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			_, err := io.WriteString(conn, message+"\n")
			answer := ""
			if err == nil {
				answer, err = conn.replies.ReadString('\n')
			}
			if err != nil {
				leave()
			}
			return answer == "TRUE\n"
		}, leave
	}
}

// asksByUDP sends a datagram again when there is no answer for a while.
func asksByUDP(_ context.Context, f *feed) (func(string) bool, func()) {
	return func(message string) bool {
		// A socket for each attempt: else a late answer would be taken for that to
		// the next message.
		conn, err := net.Dial("udp", f.variable("TRANSPORT_UDP_LISTEN"))
		if err != nil {
			f.t.Error(err)
			return false
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(100 * time.Millisecond))
		answer := make([]byte, 16)
		n := 0
		if _, err = io.WriteString(conn, message); err == nil {
			n, err = conn.Read(answer)
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(time.Millisecond) // nobody is there
		}
		return string(answer[:n]) == "TRUE"
	}, func() {}
}

// asker is a REQ socket that is made anew for each message without an answer. It
// answers each line with one.
const asker = `
import sys, zmq
context = zmq.Context()
def connect():
    s = context.socket(zmq.REQ)
    s.setsockopt(zmq.RCVTIMEO, 500)
    s.setsockopt(zmq.LINGER, 0)
    s.connect(sys.argv[1])
    return s
s = connect()
for line in sys.stdin:
    s.send_string(line.rstrip("\n"))
    try:
        print(s.recv_string(), flush=True)
    except zmq.Again:
        s.close()
        s = connect()
        print("nothing", flush=True)
`

func asksByZeroMQ(ctx context.Context, f *feed) (func(string) bool, func()) {
	cmd := exec.CommandContext(ctx, os.Getenv("TEST_ZMQ_PYTHON"), "-c", asker, f.variable("TRANSPORT_ZEROMQ_BIND"))
	in, err := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(err, outErr, cmd.Start()); err != nil {
		f.t.Error(err)
		return func(string) bool { return false }, func() {}
	}
	answers := bufio.NewReader(out)
	return func(message string) bool {
			if _, err := io.WriteString(in, message+"\n"); err != nil {
				return false
			}
			answer, _ := answers.ReadString('\n') // it ends with the test
			return answer == "TRUE\n"
		}, func() {
			_ = in.Close()
			_ = cmd.Wait()
		}
}

// publishes has each message confirmed by the broker, which delivers it from then on.
func publishes(_ context.Context, f *feed) (func(string) bool, func()) {
	conn, err := amqp091.Dial(os.Getenv("TEST_AMQP_URL"))
	if err != nil {
		f.t.Error(err)
		return func(string) bool { return false }, func() {}
	}
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		f.t.Error(err)
	}
	return func(message string) bool {
		confirmation, err := channel.PublishWithDeferredConfirm("feed", "feed", true, false,
			amqp091.Publishing{DeliveryMode: amqp091.Persistent, MessageId: message, Body: []byte(message)})
		if err != nil {
			f.t.Error(err)
			return false
		}
		return confirmation.Wait()
	}, func() { _ = conn.Close() }
}

// writesLines writes to the fifo, which it keeps open: what is in there outlives the
// service that way.
func writesLines(_ context.Context, f *feed) (func(string) bool, func()) {
	file, err := os.OpenFile(f.path("state/feed.fifo"), os.O_RDWR, 0)
	if err != nil {
		f.t.Error(err)
		return func(string) bool { return false }, func() {}
	}
	return func(message string) bool {
		time.Sleep(5 * time.Millisecond) // it is not answered
		_, err := io.WriteString(file, message+"\n")
		return err == nil
	}, func() { _ = file.Close() }
}

// Pitfalls 56 and 57: the service is ended with TERM, and then with KILL, while
// messages come in by every way there is. What a sender was answered, or the broker
// has confirmed, or was written to the fifo while the service was ended in order, is
// stored; and nothing is stored more often than it was sent, once if the way gives it a key.
func TestEveryWayUnderFire(t *testing.T) {
	tool(t, "TEST_ZMQ_PYTHON")
	c := chosen{transports: []string{"amqp", "fifo", "tcp", "udp", "unix", "zeromq"}, database: "sqlite"}
	f := newFeedWith(t, c)
	f.env = append(f.env, "FEED_WORKER_ATTEMPTS=1000") // being killed is no fault of the messages
	for _, name := range c.transports {
		waysIn[name].prepare(f)
	}
	f.build()
	f.start()
	lines := &insistent{name: "fifo", senders: 2, open: writesLines}
	all := []*insistent{
		lines,
		{name: "amqp", senders: 2, open: publishes},
		{name: "tcp", senders: 4, open: keepsAsking(func() (net.Conn, error) { return net.Dial("tcp", f.variable("TRANSPORT_TCP_LISTEN")) })},
		{name: "udp", senders: 4, open: asksByUDP},
		{name: "unix", senders: 4, open: keepsAsking(func() (net.Conn, error) { return net.Dial("unix", f.path("run/feed.unix.sock")) })},
		{name: "zeromq", senders: 2, open: asksByZeroMQ},
	}
	for _, s := range all {
		s.begin(f)
		t.Cleanup(s.end)
	}
	const rounds = 10
	for n := range 2 * rounds {
		signal := syscall.SIGTERM
		if n >= rounds {
			signal = syscall.SIGKILL
		}
		if n == rounds { // what was read from a fifo is nobody's when the process is killed
			lines.end()
			f.storesAllOf(lines)
		}
		f.someBy(all, 20)
		f.end(signal)
		f.start()
	}
	f.someBy(all, 20)
	for _, s := range all {
		s.end()
	}
	for _, s := range all {
		f.storesAllOf(s)
	}
	f.command("stop")
	stored := f.stored()
	for _, s := range all {
		more := 0
		for message, rows := range stored {
			if strings.HasPrefix(message, s.name+" ") {
				more += rows - 1
			}
		}
		if more > int(s.vain.Load()) || more > 0 && slices.Contains([]string{"amqp", "fifo"}, s.name) {
			t.Errorf("%s: %d rows more than messages, after %d attempts in vain", s.name, more, s.vain.Load())
		}
		t.Logf("%s: %d messages taken and stored, %d attempts in vain, %d rows more", s.name, s.total(), s.vain.Load(), more)
	}
}

// someBy waits until some more messages have been taken by each way that is still
// sending.
func (f *feed) someBy(ways []*insistent, some int64) {
	f.t.Helper()
	for _, s := range ways {
		enough := s.total() + some
		for end := time.Now().Add(2 * time.Minute); s.total() < enough && s.sends(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				f.t.Fatalf("%d messages by %s, and no more for two minutes\n%s", s.total(), s.name, f.logTail())
			}
		}
	}
}

// storesAllOf waits until what was taken by a way is stored.
func (f *feed) storesAllOf(s *insistent) {
	f.t.Helper()
	var missing bytes.Buffer
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		missing.Reset()
		stored := f.stored()
		for sender := range s.senders {
			for n := range int(s.taken[sender].Load()) {
				if message := s.message(sender, n); stored[message] == 0 {
					fmt.Fprintf(&missing, "%s, ", message)
				}
			}
		}
		if missing.Len() == 0 {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("taken and not stored: %s\n%s", missing.String(), f.logTail())
		}
	}
}
