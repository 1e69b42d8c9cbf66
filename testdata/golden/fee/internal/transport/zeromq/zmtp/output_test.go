package zmtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// until polls.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain:", what)
		}
	}
}

// Sending to a peer that does not read never waits, what it has not taken is
// counted when it is given up, and the reader comes to know.
func TestSendToNobody(t *testing.T) {
	nc, other := connection(t)
	var sent atomic.Int64
	o := testOptions("ROUTER", Null{})
	o.WriteTimeout = 20 * time.Millisecond
	o.OnSent = func(n int) { sent.Add(int64(n)) }
	x, _, xErr, yErr := shakeOn(nc, other, o, testOptions("DEALER", Null{}))
	if xErr != nil || yErr != nil {
		t.Fatal(xErr, yErr)
	}
	const messages = 64
	body := bytes.Repeat([]byte("x"), 1<<20)
	for range messages { // more than the kernel takes
		x.Send(nil, body)
	}
	err := run(x)
	if !errors.Is(err, ErrNotReading) {
		t.Errorf("the reader ended with %v", err)
	}
	until(t, "all messages to be counted", func() bool { return sent.Load() == messages })
	x.Send(nil, body)
	until(t, "another to be counted", func() bool { return sent.Load() == messages+1 })
	if err := x.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// What the kernel does not take at once arrives all the same, in order, and so does
// what comes after it.
func TestSendSlowly(t *testing.T) {
	for name, m := range agreeing() {
		x, y, xErr, yErr := shake(t, testOptions("ROUTER", m.server), testOptions("DEALER", m.client))
		if xErr != nil || yErr != nil {
			t.Fatal(xErr, yErr)
		}
		body := bytes.Repeat([]byte("x"), 1<<20-8)
		for n := range byte(20) {
			x.Send(nil, append(body, n))
		}
		for n := range byte(20) {
			if got := receive(t, y); !bytes.Equal(got[0], append(body, n)) {
				t.Fatalf("%s: message %d: %d bytes", name, n, len(got[0]))
			}
		}
		x.Send(nil, []byte("last"))
		if got := receive(t, y); string(got[0]) != "last" {
			t.Errorf("%s: received %q", name, got)
		}
		_, _ = x.Close(), y.Close()
	}
}

// deadlines notes the last time that was set for writing.
type deadlines struct {
	net.Conn
	mu   sync.Mutex
	last time.Time
	set  int
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = at
	d.set++
	return d.Conn.SetWriteDeadline(at)
}

// The time that a peer had to take what was sent does not hold for what is sent
// later, which would fail at once.
func TestSendLater(t *testing.T) {
	nc, other := connection(t)
	d := &deadlines{Conn: nc}
	x, y, xErr, yErr := shakeOn(d, other, testOptions("ROUTER", Null{}), testOptions("DEALER", Null{}))
	if xErr != nil || yErr != nil {
		t.Fatal(xErr, yErr)
	}
	x.Send(nil, []byte("one"))
	receive(t, y)
	x.wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.set == 0 || !d.last.IsZero() {
		t.Errorf("set %d times, at last to %s", d.set, d.last)
	}
}

// A peer that sends many a PING and does not read costs no memory.
func TestFloodOfPings(t *testing.T) {
	nc, other := net.Pipe() // nobody reads
	defer func() { _, _ = nc.Close(), other.Close() }()
	c := newConn(nc, testOptions("ROUTER", Null{}))
	for range 100000 {
		if err := c.answerPing(make([]byte, 2+maxPingContext)); err != nil {
			t.Fatal(err)
		}
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if len(c.out.waiting) > 1000 {
		t.Errorf("%d bytes wait for a peer that does not read", len(c.out.waiting))
	}
}

// Once a connection has ended nothing is sent on it, whoever has its descriptor now.
func TestSendAfterClose(t *testing.T) {
	nc, other := connection(t)
	x, _, xErr, yErr := shakeOn(nc, other, testOptions("PUSH", Null{}), testOptions("PULL", Null{}))
	if xErr != nil || yErr != nil {
		t.Fatal(xErr, yErr)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x.Send(nil, []byte("late"))
	got, err := io.ReadAll(other)
	if len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("received %q, %v", got, err)
	}
}
