package templates_test

// A generated project with the transport amqp, as its owner runs it, and a broker
// of its own that is killed, stopped, and full.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// rabbit is a RabbitMQ that a test may do anything to, while others use theirs.
type rabbit struct {
	f       *feed
	env     []string
	url     string
	control string // the program rabbitmqctl
}

// newRabbitFeed returns a project with the transports tcp and amqp that stores to
// SQLite, and its broker, which ends with the test.
func newRabbitFeed(t *testing.T) (*feed, *rabbit) {
	t.Helper()
	f := newFeed(t, "sqlite")
	f.do("", "go", "run", "../cmd/daemongen", "-C", f.path("project"), "add", "transport", "amqp")
	r := &rabbit{f: f, env: append(os.Environ(), "SERVICES_DIR="+f.path("server"), "SERVICES_INSTALL=no")}
	out, code := r.services("up")
	const cannot = 5 // it is not installed
	if code == cannot {
		f.missing("RabbitMQ is not installed")
	}
	t.Cleanup(func() { r.services("down") })
	r.url, r.control = exportedBy(out, "TEST_AMQP_URL"), exportedBy(out, "TEST_AMQP_CTL")
	u, err := url.Parse(r.url)
	if code != 0 || err != nil || u.Host == "" {
		t.Fatalf("the broker does not start: exit code %d\n%s", code, out)
	}
	password, _ := u.User.Password()
	f.env = append(f.env,
		"FEED_TRANSPORT_AMQP_URLS=amqp://"+u.Host,
		"FEED_TRANSPORT_AMQP_USERNAME="+u.User.Username(),
		"FEED_TRANSPORT_AMQP_PASSWORD="+password)
	return f, r
}

// exportedBy returns the value of a variable in lines that export some.
func exportedBy(out, variable string) string {
	_, after, _ := strings.Cut(out, "export "+variable+"='")
	value, _, _ := strings.Cut(after, "'")
	return value
}

// services calls the script of the servers for the broker, and returns what it
// prints and its exit code.
func (r *rabbit) services(verb string) (out string, code int) {
	r.f.t.Helper()
	cmd := exec.Command("exampled/scripts/services.sh", verb, "amqp")
	cmd.Env = r.env
	text, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		r.f.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

func (r *rabbit) ctl(args ...string) {
	r.f.t.Helper()
	if out, err := exec.Command(r.control, args...).CombinedOutput(); err != nil {
		r.f.t.Fatalf("rabbitmqctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// within has the broker do what is asked for, in Erlang, until it is killed. Each
// call of rabbitmqctl takes seconds, since that is a machine of Erlang by itself; one
// is enough to start who reads the questions from a folder.
func (r *rabbit) within() (do func(expression string)) {
	t := r.f.t
	t.Helper()
	dir, err := os.MkdirTemp(r.f.dir, "within")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // the broker has a user of its own
		t.Fatal(err)
	}
	question, answer := filepath.Join(dir, "question"), filepath.Join(dir, "answer")
	r.ctl("eval", fmt.Sprintf(`spawn(fun() -> group_leader(whereis(init), self()), (fun Loop() ->
		case file:script(%q) of
			{error, enoent} -> timer:sleep(10);
			Result -> file:delete(%[1]q), file:write_file(%[2]q, io_lib:format("~p", [Result])), file:rename(%[2]q, %[3]q)
		end, Loop() end)() end).`, question, answer+".part", answer))
	return func(expression string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(question+".part", []byte(expression), 0o644), os.Rename(question+".part", question)); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			result, err := os.ReadFile(answer)
			switch {
			case err == nil && string(result) == "{ok,ok}":
				_ = os.Remove(answer)
				return
			case err == nil, !errors.Is(err, fs.ErrNotExist), time.Now().After(deadline):
				t.Fatalf("%s in the broker: %v\n%s", expression, err, result)
			}
		}
	}
}

// isReady waits until the service is ready, or is not.
func (f *feed) isReady(want bool) {
	f.t.Helper()
	wanted := 150
	if want {
		wanted = 0
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command(f.path("feed"), "status", "--ready")
		cmd.Env = f.env
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() == wanted {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("status --ready does not come to exit code %d: %s\n%s", wanted, out, f.logTail())
		}
	}
}

// goroutines is how many the service has.
func (f *feed) goroutines() int {
	f.t.Helper()
	path := strings.TrimSpace(strings.TrimPrefix(f.command("dump"), "feed: "))
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Count("\n"+string(text), "\ngoroutine ")
}

// rabbitPublisher sends numbered messages with their numbers as ids, and those again that
// the broker has not confirmed, until it is told to end.
type rabbitPublisher struct {
	url       string
	exchange  string // and the routing key
	confirmed atomic.Int64
	end       context.CancelFunc
	ended     chan struct{}
}

func (r *rabbit) publish() *rabbitPublisher {
	p := &rabbitPublisher{url: r.url, exchange: "feed", ended: make(chan struct{})}
	p.run(r.f.t)
	return p
}

// run publishes from now on.
func (p *rabbitPublisher) run(t *testing.T) {
	var ctx context.Context
	ctx, p.end = context.WithCancel(context.Background())
	go func() {
		defer close(p.ended)
		for ctx.Err() == nil {
			_ = p.connect(ctx) // the broker is away for a moment
			time.Sleep(10 * time.Millisecond)
		}
	}()
	t.Cleanup(p.stop)
}

// stop returns when nothing more is published.
func (p *rabbitPublisher) stop() {
	p.end()
	<-p.ended
}

// connect publishes by a connection until it is lost, or ctx ends.
func (p *rabbitPublisher) connect(ctx context.Context) error {
	conn, err := amqp091.Dial(p.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	for err == nil && ctx.Err() == nil {
		err = p.batch(channel)
		time.Sleep(2 * time.Millisecond) // a load, and not all that the broker can take
	}
	return err
}

func (p *rabbitPublisher) batch(channel *amqp091.Channel) error {
	const size = 20
	var confirmations []*amqp091.DeferredConfirmation
	for n := range size {
		text := numbered(int(p.confirmed.Load()) + n)
		confirmation, err := channel.PublishWithDeferredConfirm(p.exchange, p.exchange, true, false,
			amqp091.Publishing{DeliveryMode: amqp091.Persistent, MessageId: text, Body: []byte(text)})
		if err != nil {
			return err
		}
		confirmations = append(confirmations, confirmation)
	}
	for _, confirmation := range confirmations {
		if !confirmation.Wait() {
			return errors.New("not confirmed")
		}
	}
	p.confirmed.Add(size)
	return nil
}

// Pitfalls 56, 57, 64 and 65: under load the broker is stopped and started 20 times, of
// which once it is killed, its connections are cut, its disk is full for a while, and
// the daemon is ended with TERM and KILL. Whatever the broker has confirmed to its
// sender is stored, once; the service was not ready while the broker was away, and in
// the end it has no more goroutines than in the beginning.
func TestRabbitUnderFire(t *testing.T) {
	f, r := newRabbitFeed(t)
	f.env = append(f.env, "FEED_WORKER_ATTEMPTS=1000", "FEED_TRANSPORT_AMQP_DELIVERY_LIMIT=100000") // it is no fault of theirs
	f.build()
	f.start()
	f.isReady(true)
	base := f.goroutines()
	p := r.publish()
	some := func() {
		t.Helper()
		enough := p.confirmed.Load() + 200
		for deadline := time.Now().Add(time.Minute); p.confirmed.Load() < enough; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d messages confirmed, and no more for a minute\n%s", p.confirmed.Load(), f.logTail())
			}
		}
	}
	cut := func() { r.ctl("close_all_connections", "test") }
	do := r.within()
	stop := func() {
		do("rabbit:stop().") // as rabbitmqctl stop_app does
		f.isReady(false)
		do("rabbit:start().")
	}
	kill := func() {
		r.services("kill")
		f.isReady(false)
		if out, code := r.services("up"); code != 0 {
			t.Fatalf("up: exit code %d\n%s", code, out)
		}
		do = r.within()
	}
	full := func() {
		r.ctl("set_disk_free_limit", "9000000000000000")
		last, since := p.confirmed.Load(), time.Now()
		for deadline := time.Now().Add(time.Minute); time.Since(since) < 500*time.Millisecond; time.Sleep(time.Millisecond) {
			if n := p.confirmed.Load(); n > last {
				last, since = n, time.Now()
			}
			if time.Now().After(deadline) {
				t.Fatal("a broker whose disk is full takes messages")
			}
		}
		f.storesNumbered(int(last)) // what it had can be handled all the same
		r.ctl("set_disk_free_limit", "50000000")
	}
	for n := range 20 {
		some()
		if n == 7 {
			kill()
		} else {
			stop()
		}
		f.isReady(true)
		switch {
		case n == 5:
			f.end(syscall.SIGTERM)
			f.start()
		case n == 15:
			f.end(syscall.SIGKILL)
			f.start()
		case n == 10:
			full()
		case n%3 == 1:
			some()
			cut()
			f.isReady(true)
		}
	}
	some()
	p.stop()
	confirmed := int(p.confirmed.Load())
	stored := f.storesNumbered(confirmed)
	for deadline := time.Now().Add(time.Minute); f.goroutines() > base; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d in the beginning", f.goroutines(), base)
		}
	}
	f.command("stop")
	for n := range confirmed {
		if rows := stored[numbered(n)]; rows != 1 {
			t.Errorf("%q was confirmed, and is stored %d times", numbered(n), rows)
		}
	}
	if n := r.left("feed"); n != 0 {
		t.Errorf("%d messages are left in the queue", n)
	}
	if n := r.left("feed.dead"); n != 0 {
		t.Errorf("%d messages are dead letters", n)
	}
	t.Logf("%d messages confirmed and stored", confirmed)
}

// storesNumbered waits until so many messages are stored, and returns how often each.
func (f *feed) storesNumbered(messages int) map[string]int {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		stored := f.stored()
		if len(stored) >= messages {
			return stored
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d messages of %d are stored\n%s", len(stored), messages, f.logTail())
		}
	}
}

// channel is one to look into the broker by, for the length of the test.
func (r *rabbit) channel() *amqp091.Channel {
	r.f.t.Helper()
	conn, err := amqp091.Dial(r.url)
	if err != nil {
		r.f.t.Fatal(err)
	}
	r.f.t.Cleanup(func() { _ = conn.Close() })
	channel, err := conn.Channel()
	if err != nil {
		r.f.t.Fatal(err)
	}
	return channel
}

// left is how many messages are in a queue.
func (r *rabbit) left(queue string) int {
	r.f.t.Helper()
	q, err := r.channel().QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		r.f.t.Fatal(err)
	}
	return q.Messages
}

// Pitfall 61: a message that kills the process is dead-lettered after as many starts
// as there are attempts, with the broker, and not in the files of the service as
// well; the others are stored.
func TestRabbitPoison(t *testing.T) {
	f, r := newRabbitFeed(t)
	handler := f.path("project/feed.go")
	text, err := os.ReadFile(handler)
	if err != nil {
		t.Fatal(err)
	}
	const guard = "\tif h.db == nil || len(messages) == 0 {\n"
	deadly := strings.Replace(string(text), guard, `	for _, m := range messages {
		if string(m) == "poison" {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
`+guard, 1)
	deadly = strings.Replace(deadly, "import (\n", "import (\n\t\"os\"\n\t\"syscall\"\n", 1)
	if err := os.WriteFile(handler, []byte(deadly), 0o644); err != nil {
		t.Fatal(err)
	}
	f.build()
	f.start()
	channel := r.channel()
	const messages = 100
	for n := range messages {
		text := numbered(n)
		if n == messages/2 {
			text = "poison"
		}
		if err := channel.Publish("feed", "feed", true, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, MessageId: text, Body: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	starts := 1
	var letter amqp091.Delivery
	for found, deadline := false, time.Now().Add(time.Minute); !found; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no dead letter after %d starts\n%s", starts, f.logTail())
		}
		if !alive(f.pid) {
			starts++
			f.start()
		}
		if letter, found, err = channel.Get("feed.dead", true); err != nil {
			t.Fatal(err)
		}
	}
	if string(letter.Body) != "poison" || !strings.Contains(fmt.Sprint(letter.Headers["x-reason"]), "the process ended during 3 attempts with it") {
		t.Errorf("the dead letter is %q, %v", letter.Body, letter.Headers)
	}
	// The first delivery is not recorded, and may have been part of a batch.
	if starts < 4 || starts > 5 {
		t.Errorf("%d starts", starts)
	}
	for deadline := time.Now().Add(time.Minute); len(f.stored()) < messages-1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d messages of %d are stored\n%s", len(f.stored()), messages-1, f.logTail())
		}
	}
	if out := f.command("status"); strings.Contains(out, "dead letter") {
		t.Errorf("kept twice: %s", out)
	}
}

// Pitfall 13: a start without the broker names it and the cause.
func TestRabbitAwayAtStart(t *testing.T) {
	f, r := newRabbitFeed(t)
	f.build()
	r.services("kill")
	f.env = append(f.env, "FEED_TRANSPORT_AMQP_WAIT=300ms")
	cmd := exec.Command(f.path("feed"), "start")
	cmd.Env = f.env
	out, _ := cmd.CombinedOutput()
	u, _ := url.Parse(r.url)
	if want := "feed: start: transport.amqp: not reachable for 300ms: " + u.Host + ": connection refused\n"; cmd.ProcessState.ExitCode() != 1 || string(out) != want {
		t.Errorf("exit code %d, %q; want %q", cmd.ProcessState.ExitCode(), out, want)
	}
}
