package amqp

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/config"
	"example.com/edm/internal/proxytest"
	"example.com/edm/internal/transport"
)

// Pitfalls 57 and 65: the connection is cut 20 times under load, and the broker away
// for a moment each other time. Every message is handled, the transport was away
// meanwhile, and nothing is left behind.
func TestCutUnderLoad(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	p := proxytest.New(t, b.url.Host)
	e := &echo{}
	s := connect(t, through(p, c))
	s.longest = 200 * time.Millisecond // a session that is cut soon is no reason for haste
	s.begin(e)
	const cuts, messages = 20, 200
	for n := range cuts {
		published := numbered(messages)
		for i := range published {
			published[i].Body = fmt.Appendf(nil, "%d %d", n, i)
		}
		go func() { // in the middle of it
			if n%2 == 0 {
				p.Cut()
				return
			}
			p.Stop()
			s.isAway(true)
			p.Start()
		}()
		b.publish(c, published...)
		eventually(t, func() bool { return e.count() == (n+1)*messages }, func() string {
			return fmt.Sprintf("%d of %d handled, %s\n%s", e.count(), (n+1)*messages, s.Status(), s.log)
		})
		s.isAway(false)
	}
	s.stop()
	b.ready(queue(c), 0)
	if n := s.log.Count("connected again"); n < cuts/2 {
		t.Errorf("connected again %d times only", n)
	}
}

// What was delivered before the connection was lost is not acknowledged on the next
// one, where its tag is that of another message: pitfall 57.
func TestTagsOfLostConnection(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	p := proxytest.New(t, b.url.Host)
	q := make(inbox, 100)
	s := serve(t, through(p, c), q)
	b.publish(c, numbered(10)...)
	var old []*message
	for range 10 {
		old = append(old, q.take(t))
	}
	p.Cut()
	var fresh []*message
	for range 10 { // from the next connection
		fresh = append(fresh, q.take(t))
	}
	for _, m := range old {
		m.Settle(nil, nil)
	}
	fresh[0].Settle(nil, nil)
	for _, m := range fresh[1:] {
		if !m.Redelivered() {
			t.Errorf("%q was delivered before, and does not say so", m.Body())
		}
		m.Settle(nil, transport.ErrStopped)
	}
	s.end()
	for done := false; !done; {
		select {
		case m := <-q: // given back, and delivered once more until the end
			m.Settle(nil, transport.ErrStopped)
		case err := <-s.ended:
			s.ended <- err
			done = true
		}
	}
	b.ready(queue(c), 9)
}

// A dead letter of a lost connection is none: the message comes again.
func TestBuryOfLostConnection(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	p := proxytest.New(t, b.url.Host)
	q := make(inbox, 10)
	serve(t, through(p, c), q)
	b.publish(c, numbered(1)...)
	old := q.take(t)
	p.Cut()
	fresh := q.take(t)
	if err := bury(t, old); err != nil {
		t.Error(err)
	}
	old.Settle(nil, fmt.Errorf("for good"))
	if err := bury(t, fresh); err != nil {
		t.Error(err)
	}
	fresh.Settle(nil, fmt.Errorf("for good"))
	b.ready(c.DeadLetterQueue, 1)
}

// A broker that says nothing any more, and takes nothing, is found out.
func TestSilentBroker(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	c.Heartbeat, c.ConnectTimeout = config.Duration(time.Second), config.Duration(200*time.Millisecond)
	p := proxytest.New(t, b.url.Host)
	e := &echo{}
	s := serve(t, through(p, c), e)
	b.publish(c, numbered(1)...)
	eventually(t, func() bool { return e.count() == 1 }, s.Status)
	p.Freeze()
	s.isAway(true)
	p.Thaw()
	s.isAway(false)
	b.publish(c, numbered(3)...)
	eventually(t, func() bool { return e.count() == 3 }, s.Status)
}

// The end and Close don't wait for such a broker.
func TestStopOfSilentBroker(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	p := proxytest.New(t, b.url.Host)
	q := make(inbox, 10)
	s := serve(t, through(p, c), q)
	b.publish(c, numbered(2)...)
	first, second := q.take(t), q.take(t)
	p.Freeze()
	s.end()
	first.Settle(nil, nil)
	second.Settle(nil, transport.ErrStopped)
	s.wait()
}

// The queue is deleted under the consumer: it is made and consumed again, or waited
// for by a service that makes none, without haste.
func TestQueueDeleted(t *testing.T) {
	b := newBroker(t)
	for _, declares := range []bool{true, false} {
		t.Run(fmt.Sprint("declare=", declares), func(t *testing.T) {
			c := b.config()
			b.serveNothing(c)
			c.Declare = declares
			e := &echo{}
			s := serve(t, c, e)
			b.publish(c, amqp091.Publishing{Body: []byte("before")})
			eventually(t, func() bool { return e.count() == 1 }, s.Status)
			if _, err := b.channel.QueueDelete(queue(c), false, false, false); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return s.log.Count("has cancelled the consumer of queue") == 1 }, s.log.String)
			if !declares {
				eventually(t, func() bool { return s.log.Count("is not there: make it, or set declare = true") == 1 }, s.log.String)
				s.isAway(true)
				again := *c
				again.Declare = true
				b.serveNothing(&again)
			}
			s.isAway(false)
			b.publish(c, numbered(3)...)
			eventually(t, func() bool { return e.count() == 4 }, s.log.String)
		})
	}
}

// A channel that the broker ends for what was done on it is told of with the
// broker's words, and messages come by another.
func TestChannelError(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	q := make(inbox, 10)
	s := serve(t, c, q)
	b.publish(c, numbered(1)...)
	m := q.take(t)
	if err := m.consumer.channel.Ack(77, false); err != nil {
		t.Fatal(err)
	}
	again := q.take(t)
	m.Settle(nil, nil)
	again.Settle(nil, nil)
	if n := s.log.Count("PRECONDITION_FAILED - unknown delivery tag 77"); n != 1 {
		t.Errorf("told %d times\n%s", n, s.log)
	}
	s.stop()
	b.ready(queue(c), 0)
}

// What an operator has to put right is said at once, and without the password; what
// may pass is something to wait for: pitfall 13.
func TestNewFails(t *testing.T) {
	b := newBroker(t)
	silent := proxytest.New(t, b.url.Host)
	silent.Silence()
	const secret = "hunter2-marker"
	for name, test := range map[string]struct {
		change func(c *Config)
		away   bool
		says   string
	}{
		"password":      {func(c *Config) { c.Password = secret }, false, b.url.Host + `: Exception (403) Reason: "username or password not allowed"`},
		"user":          {func(c *Config) { c.Username, c.Password = "nobody", secret }, false, "not allowed"},
		"vhost":         {func(c *Config) { c.URLs = []string{"amqp://" + b.url.Host + "/nowhere"} }, false, "vhost nowhere not found"},
		"nobody there":  {func(c *Config) { c.URLs = []string{"amqp://127.0.0.1:1/"} }, true, "127.0.0.1:1: connection refused"},
		"nothing said":  {func(c *Config) { through(silent, c); c.ConnectTimeout = config.Duration(50 * time.Millisecond) }, true, "no answer within connect_timeout"},
		"other queue":   {func(c *Config) { c.QueueType = "quorum" }, false, "exists with other properties: delete it, or set declare = false"},
		"other type":    {func(c *Config) { c.ExchangeType = "fanout" }, false, "exists with other properties"},
		"passive":       {func(c *Config) { c.Declare = false; c.Queues = map[string][]string{"nosuch": nil} }, false, `queue "nosuch" is not there`},
		"passive, dead": {func(c *Config) { c.Declare = false; c.DeadLetterExchange = "nosuch" }, false, `dead-letter exchange "nosuch" is not there`},
		"no TLS there":  {func(c *Config) { c.URLs = []string{"amqps://" + b.url.Host} }, false, "tls: first record does not look like a TLS handshake"},
		"no CA":         {func(c *Config) { c.URLs = []string{"amqps://" + b.url.Host}; c.CAFile = "/nosuch" }, false, "ca_file: open /nosuch"},
		"no key": {func(c *Config) {
			c.URLs = []string{"amqps://" + b.url.Host}
			c.CertFile, c.KeyFile = "/nosuch", "/nosuch"
		}, false, "cert_file, key_file: open /nosuch"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := b.config()
			b.serveNothing(c)
			changed := *c
			test.change(&changed)
			made, err := changed.New(transport.Env{Log: discard})
			if err == nil {
				_ = made.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("says %q, want %q", err, test.says)
			}
			away(t, err, test.away)
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), changed.Password.Reveal()) {
				t.Errorf("tells the password: %v", err)
			}
		})
	}
}

// The nodes are tried in turn, at the start and later.
func TestNodes(t *testing.T) {
	b := newBroker(t)
	c := b.config()
	one, two := proxytest.New(t, b.url.Host), proxytest.New(t, b.url.Host)
	c.URLs = []string{"amqp://" + one.Address(), "amqp://" + two.Address()}
	one.Stop()
	s := serve(t, c, &echo{})
	s.isAway(false)
	if got := s.Status(); !strings.Contains(got, two.Address()) {
		t.Error(got)
	}
	one.Start()
	two.Stop()
	from := func(p *proxytest.Proxy) {
		t.Helper()
		eventually(t, func() bool { return strings.Contains(s.Status(), "consuming from "+p.Address()) }, s.Status)
	}
	from(one)
	two.Start()
	one.Stop()
	from(two)
}

// Pitfall 63: the pauses are random from the first one on, grow, and have a bound.
func TestBackoff(t *testing.T) {
	var sum [8]time.Duration
	const times = 2000
	for range times {
		var b backoff
		for i := range sum {
			sum[i] += b.next()
		}
	}
	for i, bound := 0, firstPause; i < len(sum); i, bound = i+1, min(2*bound, longestPause) {
		if mean := sum[i] / times; mean < bound*2/5 || mean > bound*3/5 {
			t.Errorf("pause %d is %s on average, want half of %s", i, mean, bound)
		}
	}
}

// A socket that takes nothing fails, instead of blocking for ever.
func TestPatientSocket(t *testing.T) {
	one, two := net.Pipe()
	defer func() { _ = two.Close() }()
	s := &patientSocket{one, time.Millisecond}
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("written to nobody")
	}
}
