package templates_test

// The services edm and job: mails of a queue, and a job without a peer, as a tutorial
// on daemons in PHP has them.

import (
	"fmt"
	"io"
	"net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// newEDM returns the service edm, and the broker that it takes mails from.
func newEDM(t *testing.T) (*feed, *url.URL) {
	t.Helper()
	f := newReady(t, "edm")
	broker := f.useBroker()
	remove := func(ch *amqp091.Channel) {
		if _, err := ch.QueueDelete("email", false, false, false); err != nil {
			t.Error(err)
		}
		if err := ch.ExchangeDelete("email", false, false); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { f.broker(remove) })
	return f, broker
}

// waiting is how many messages are in the queue, or with the service and not
// acknowledged. It is asked of a service that has stopped.
func (f *feed) waiting() (n int) {
	f.t.Helper()
	f.broker(func(ch *amqp091.Channel) {
		queue, err := ch.QueueDeclarePassive("email", true, false, false, false, nil)
		if err != nil {
			f.t.Fatal(err)
		}
		n = queue.Messages
	})
	return n
}

// spooled is how often each mail is in the spool, by its address and its text.
func (f *feed) spooled() map[string]int {
	f.t.Helper()
	files, err := filepath.Glob(f.path("state/spool/*.eml"))
	if err != nil {
		f.t.Fatal(err)
	}
	mails := make(map[string]int)
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			f.t.Fatal(err)
		}
		m, err := mail.ReadMessage(file)
		if err != nil {
			f.t.Fatalf("%s: %v", name, err)
		}
		text, err := io.ReadAll(m.Body)
		if err != nil {
			f.t.Fatalf("%s: %v", name, err)
		}
		mails[m.Header.Get("To")+" "+strings.TrimSpace(string(text))]++
		_ = file.Close()
	}
	return mails
}

// until waits for a condition, for a time that no working service needs.
func (f *feed) until(what string, condition func() bool) {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("not so after a minute: %s\n%s", what, f.dailyLog())
		}
	}
}

// dailyLog is the log of today, and of yesterday if midnight is not long ago.
func (f *feed) dailyLog() string {
	f.t.Helper()
	files, err := filepath.Glob(f.path("log/feed-*.log"))
	if err != nil {
		f.t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		if !regexp.MustCompile(`feed-\d{4}-\d\d-\d\d\.log$`).MatchString(name) {
			f.t.Errorf("a log is called %s", name)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			f.t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// S9 and S10: the publisher of the tutorial works on, and so does a consumer of its kind
// on the same queue, since both find it as they declare it. Each message is a mail in
// the spool, and a line of the log of the day, which is for the service alone; it is
// acknowledged then.
func TestEDM(t *testing.T) {
	f, broker := newEDM(t)
	php, err := exec.LookPath("php")
	if err != nil || exec.Command(php, "-r", `exit(extension_loaded("amqp") ? 0 : 1);`).Run() != nil {
		f.missing("php with the extension amqp (Debian's php-amqp)")
	}
	password, _ := broker.User.Password()
	publish := func(messages ...string) {
		t.Helper()
		f.do("", php, append([]string{"testdata/presets/publisher.php", broker.Hostname(), broker.Port(), broker.User.Username(), password}, messages...)...)
	}
	publish("before the service")
	f.build()
	f.start()
	publish("hello", "To: you@example.com\nSubject: x\n\nhi you")
	f.until("three mails", func() bool { return len(f.spooled()) == 3 })
	mails := f.spooled()
	for _, want := range []string{"postmaster@localhost before the service", "postmaster@localhost hello", "you@example.com hi you"} {
		if mails[want] != 1 {
			t.Errorf("%q is not there once: %v", want, mails)
		}
	}
	f.until("three lines", func() bool { return strings.Count(f.dailyLog(), "msg=sent") == 3 })
	for _, text := range []string{`message="before the service"`, "message=hello"} {
		if strings.Count(f.dailyLog(), text) != 1 {
			t.Errorf("the log does not say once %s:\n%s", text, f.dailyLog())
		}
	}
	logs, err := filepath.Glob(f.path("log/*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is not for the service alone: %v, %v", name, info.Mode(), err)
		}
	}
	f.command("stop")
	if n := f.waiting(); n != 0 {
		t.Errorf("%d messages were not acknowledged", n)
	}

	// What comes while it is away is there when it is back.
	publish("after the service")
	if n := f.waiting(); n != 1 {
		t.Errorf("%d messages are in the queue", n)
	}
	f.start()
	f.until("one more mail", func() bool { return len(f.spooled()) == 4 })
	f.command("stop")
}

// With the sender smtp the server has each mail by the time that its message is
// acknowledged. While the server is away, nothing is lost, nobody blamed, and the service
// goes on when it is back; what the server refuses for good is a dead letter.
func TestEDMBySMTP(t *testing.T) {
	f, _ := newEDM(t)
	server := &mailbox{address: freeAddress(t)}
	f.setVariable("MAIL_SENDER", "smtp")
	f.setVariable("SMTP_SERVER", server.address)
	f.setVariable("SMTP_TLS", "none")
	f.setVariable("WORKER_BACKOFF_MAX", "100ms")
	f.build()
	f.start()
	publish := func(texts ...string) {
		t.Helper()
		f.broker(func(ch *amqp091.Channel) {
			for _, text := range texts {
				if err := ch.Publish("email", "email", true, false, amqp091.Publishing{DeliveryMode: amqp091.Persistent, Body: []byte(text)}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	publish("one", "two")
	f.until("the server is missed", func() bool { return strings.Contains(f.dailyLog(), "connection refused") })
	server.open(t)
	f.until("both mails", func() bool { return len(server.mails()) == 2 })
	publish("To: nobody@example.com\n\nrefused", "three")
	f.until("another one", func() bool { return len(server.mails()) == 3 })
	f.until("a dead letter", func() bool { return strings.Contains(f.command("--json", "deadletters", "list"), "SMTP error 550") })
	f.command("stop")
	if n := f.waiting(); n != 0 {
		t.Errorf("%d messages were not acknowledged", n)
	}
	all := strings.Join(server.mails(), "")
	for _, text := range []string{"one", "two", "three"} {
		if strings.Count(all, "\r\n\r\n"+text) != 1 {
			t.Errorf("%q is not there once:\n%s", text, all)
		}
	}
}

// mailbox is an SMTP server that keeps what it gets.
type mailbox struct {
	address string
	mu      sync.Mutex
	all     []string
}

// open has it serve, until the test ends.
func (m *mailbox) open(t *testing.T) {
	t.Helper()
	server := smtp.NewServer(m)
	server.Addr = m.address
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ListenAndServe() // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
}

func (m *mailbox) mails() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return mailboxSession{m}, nil }

type mailboxSession struct{ m *mailbox }

func (mailboxSession) Reset()                               {}
func (mailboxSession) Logout() error                        { return nil }
func (mailboxSession) Mail(string, *smtp.MailOptions) error { return nil }

func (mailboxSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to == "nobody@example.com" {
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	}
	return nil
}

func (s mailboxSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.all = append(s.m.all, string(text))
	return err
}

// Pitfalls 56, 57 and 65: while mails are published, the service is killed at 20 random
// points. Each that the broker has confirmed to its publisher is one file of the spool,
// since its message has a name, and none is left in the queue.
func TestEDMUnderFire(t *testing.T) {
	const points, messages = 20, 4000
	f, broker := newEDM(t)
	f.setVariable("WORKER_ATTEMPTS", "1000") // being killed is no fault of theirs
	f.build()
	f.start()
	p := &rabbitPublisher{url: broker.String(), exchange: "email", ended: make(chan struct{})}
	p.run(t)
	kills := f.killed(points, messages, func() int { return int(p.confirmed.Load()) })
	p.stop()
	f.until("nothing waits", func() bool { return f.waiting() == 0 && strings.Contains(f.command("status"), " 0 in flight") })
	f.command("stop")
	if n := f.waiting(); n != 0 {
		t.Errorf("%d messages were not acknowledged", n)
	}
	mails := f.spooled()
	for n := range int(p.confirmed.Load()) {
		if got := mails["postmaster@localhost "+numbered(n)]; got != 1 {
			t.Errorf("message %d is in the spool %d times", n, got)
		}
	}
	if left, _ := filepath.Glob(f.path("state/spool/.new-*")); len(left) > kills*together {
		t.Errorf("%d files are left half written by %d kills", len(left), kills)
	}
	t.Logf("%d kills, %d messages", kills, p.confirmed.Load())
}

// together is how many mails the spool writes at once.
const together = 8

// S13 to S16: the job is begun again and again; a reload changes what it works with, a
// key added, and not the pid; a broken file changes nothing; TERM ends it in order.
func TestJob(t *testing.T) {
	f := newReady(t, "job", "--set", "transport.timer.every=100ms", "--set", "job.step=10ms")
	f.build()
	f.start()
	pid := f.pid
	f.runsAs(80)
	log := func() string {
		text, err := os.ReadFile(f.path("log/feed.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	f.until("two runs", func() bool { return strings.Count(log(), `msg="the job ends" job=test`) >= 2 })
	if !strings.Contains(log(), `msg=settings job=test db.host=192.168.0.1 db.port=3306 db.user=""`) {
		t.Errorf("the log has not the settings:\n%s", log())
	}
	file := f.path("project/configs/feed.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) {
		t.Helper()
		changed := strings.Replace(string(text), from, to, 1)
		if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(f.pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	change(`user = ""`, `user = "test"`)
	f.until("the new settings", func() bool {
		return strings.Contains(log(), "msg=settings job=test db.host=192.168.0.1 db.port=3306 db.user=test")
	})
	change(`port = 3306`, `prot = 3306`)
	f.until("the refusal", func() bool { return strings.Contains(log(), "db.prot: unknown key; did you mean port?") })
	before := strings.Count(log(), "msg=test ")
	f.until("further steps", func() bool { return strings.Count(log(), "msg=test ") > before+3 })
	if out := f.command("status"); !strings.Contains(out, fmt.Sprintf("(pid %d)", pid)) || !strings.Contains(out, "the last reload failed") {
		t.Errorf("the status is %s", out)
	}
	f.command("stop")
	if begins, ends := strings.Count(log(), "the job begins"), strings.Count(log(), "the job ends"); begins != ends {
		t.Errorf("%d runs began, and %d came to their end", begins, ends)
	}
}
