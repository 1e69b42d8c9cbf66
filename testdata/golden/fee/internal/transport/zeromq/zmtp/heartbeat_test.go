package zmtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipe returns two sides that have agreed, on a connection that works with the
// clock of synctest.
func pipe(t *testing.T, a, b Options) (x, y *Conn) {
	t.Helper()
	nc, other := net.Pipe()
	// Both sides send first, and nothing is buffered here.
	x, y, xErr, yErr := shakeOn(newBuffered(nc), newBuffered(other), a, b)
	if xErr != nil || yErr != nil {
		t.Fatal(xErr, yErr)
	}
	return x, y
}

// buffered is a connection to which writing never waits.
type buffered struct {
	net.Conn
	out    chan []byte
	once   sync.Once
	closed chan struct{}
}

func newBuffered(nc net.Conn) net.Conn {
	b := &buffered{Conn: nc, out: make(chan []byte, 1000), closed: make(chan struct{})}
	go func() {
		for {
			select {
			case out := <-b.out:
				_, _ = b.Conn.Write(out) // if it fails, so will reading
			case <-b.closed:
				return
			}
		}
	}()
	return b
}

func (b *buffered) Write(p []byte) (n int, err error) {
	select {
	case b.out <- bytes.Clone(p):
		return len(p), nil
	case <-b.closed:
		return 0, net.ErrClosed
	}
}

func (b *buffered) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

func (*buffered) SetWriteDeadline(time.Time) error { return nil }

func (b *buffered) SetDeadline(at time.Time) error { return b.SetReadDeadline(at) }

// run reads until the connection ends, and returns why.
func run(c *Conn) error {
	for {
		_, ok, err := c.Next()
		if err == nil && !ok {
			err = c.Fill()
		}
		if err != nil {
			return err
		}
	}
}

// Two silent peers keep each other alive; one that has gone without a word is
// given up, at the time that was said and not before. Pitfall 72: all of it is
// by the monotonic clock.
func TestHeartbeats(t *testing.T) {
	for name, m := range agreeing() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := testOptions("ROUTER", m.server), testOptions("DEALER", m.client)
				a.HeartbeatInterval, a.HeartbeatTimeout = 2*time.Second, 5*time.Second
				x, y := pipe(t, a, b)
				defer func() { _, _ = x.Close(), y.Close() }()
				ended := make(chan error, 1)
				go func() { ended <- run(y) }()
				began := time.Now()
				result := make(chan error, 1)
				go func() { result <- run(x) }()
				time.Sleep(time.Hour)
				select {
				case err := <-result:
					t.Fatalf("gave up a peer that answers after %s: %v", time.Since(began), err)
				default:
				}
				y.Interrupt() // it answers no more, and is still there
				if err := <-ended; !errors.Is(err, ErrInterrupted) {
					t.Error(err)
				}
				began = time.Now()
				if err := <-result; !errors.Is(err, ErrSilent) {
					t.Error(err)
				}
				if silent := time.Since(began); silent < 3*time.Second || silent > 5*time.Second {
					t.Errorf("gave it up after %s", silent)
				}
			})
		})
	}
}

// A peer that says how long to wait for it is not waited for longer, also without
// heartbeats of our own.
func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := pipe(t, testOptions("ROUTER", Null{}), testOptions("DEALER", Null{}))
		defer func() { _, _ = x.Close(), y.Close() }()
		result := make(chan error, 1)
		go func() { result <- run(x) }()
		time.Sleep(time.Hour)
		y.out.command(nil, command("PING", binary.BigEndian.AppendUint16(nil, 30)))
		began := time.Now()
		if err := <-result; !errors.Is(err, ErrSilent) || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// A reader that has been away for long, because the workers are busy, does not
// take that for silence of the peer.
func TestBusyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := testOptions("ROUTER", Null{})
		a.HeartbeatInterval, a.HeartbeatTimeout = 2*time.Second, 5*time.Second
		x, y := pipe(t, a, testOptions("DEALER", Null{}))
		defer func() { _, _ = x.Close(), y.Close() }()
		for range 3 {
			y.Send(nil, []byte("one"))
			if got := receive(t, x); string(got[0]) != "one" {
				t.Errorf("received %q", got)
			}
			time.Sleep(time.Hour)
		}
	})
}

// The context of a PING comes back.
func TestPong(t *testing.T) {
	ping := appendFrame(nil, flagCommand, command("PING", []byte{0, 0}, []byte("context")))
	nc := &script{input: ping, piece: 100}
	c := newConn(nc, testOptions("ROUTER", Null{}))
	if err := run(c); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	c.wait()
	if want := string(appendFrame(nil, flagCommand, command("PONG", []byte("context")))); string(nc.sent) != want {
		t.Errorf("answered %q, want %q", nc.sent, want)
	}
	for _, body := range [][]byte{nil, {1}, make([]byte, 19)} {
		nc := &script{input: appendFrame(nil, flagCommand, command("PING", body)), piece: 100}
		if err := run(newConn(nc, testOptions("ROUTER", Null{}))); !errors.Is(err, ErrProtocol) {
			t.Errorf("a PING of %d bytes: %v", len(body), err)
		}
	}
}

// wait waits until nothing is being written.
func (c *Conn) wait() {
	for {
		c.out.mu.Lock()
		writing := c.out.writing
		c.out.mu.Unlock()
		if !writing {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A peer of ZMTP 3.0 knows no PING, and is not given up for that.
func TestNoHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := testOptions("ROUTER", Null{})
		a.HeartbeatInterval, a.HeartbeatTimeout = 2*time.Second, 5*time.Second
		x, y := pipe(t, a, testOptions("DEALER", Null{}))
		defer func() { _, _ = x.Close(), y.Close() }()
		x.minor = 0
		result := make(chan error, 1)
		go func() { result <- run(x) }()
		time.Sleep(time.Hour)
		select {
		case err := <-result:
			t.Error(err)
		default:
		}
		x.Interrupt()
		if err := <-result; !errors.Is(err, ErrInterrupted) {
			t.Error(err)
		}
	})
}
