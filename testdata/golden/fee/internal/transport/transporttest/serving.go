// What the tests of transports share, besides the suite.

package transporttest

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/fee/internal/transport"
)

// Serving is a transport's Serve under way.
type Serving struct {
	t      testing.TB
	cancel context.CancelFunc
	ended  chan struct{} // closed when Serve has returned err
	err    error
}

// Serve has a transport serve, until the test ends at the latest: then it is
// closed, and waited for.
func Serve(t testing.TB, tr transport.Transport, queue transport.Queue) *Serving {
	t.Helper()
	s := begin(t, tr, queue)
	t.Cleanup(func() {
		s.cancel()
		if err := tr.Close(); err != nil {
			t.Error("close:", err)
		}
		_ = s.Err() // which is the test's to ask for
	})
	return s
}

// begin is Serve without an end.
func begin(t testing.TB, tr transport.Transport, queue transport.Queue) *Serving {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Serving{t: t, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.err = tr.Serve(ctx, queue)
	}()
	return s
}

// Cancel has the transport stop in good order, and does not wait for it.
func (s *Serving) Cancel() { s.cancel() }

// Ended reports whether Serve has returned.
func (s *Serving) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Err waits for the end of Serve, and returns what that returned.
func (s *Serving) Err() error {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(Patience):
		s.t.Fatal("Serve did not return")
	}
	return s.err
}

// Wait waits for the end of Serve, which has to be without an error.
func (s *Serving) Wait() {
	s.t.Helper()
	if err := s.Err(); err != nil {
		s.t.Error("Serve:", err)
	}
}

// Stop ends the transport in good order.
func (s *Serving) Stop() {
	s.t.Helper()
	s.Cancel()
	s.Wait()
}

// Journal is a log to look into: the writer of a slog.Handler. Its zero value is
// empty.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *Journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns all that was logged.
func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Count returns how often what was logged.
func (j *Journal) Count(what string) int { return strings.Count(j.String(), what) }

// Poll waits until done, and says what it waited for if that takes too long.
func Poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain:", what)
		}
	}
}

// LateListener accepts nobody before it is told to stop, by a deadline or the end:
// as on a busy machine, connections are then in the kernel's hands alone.
type LateListener struct {
	*net.TCPListener
	once sync.Once
	told chan struct{}
}

// NewLateListener makes a LateListener of one on TCP.
func NewLateListener(l net.Listener) *LateListener {
	return &LateListener{TCPListener: l.(*net.TCPListener), told: make(chan struct{})}
}

// Accept implements net.Listener.
func (l *LateListener) Accept() (net.Conn, error) {
	<-l.told
	return l.TCPListener.Accept()
}

// SetDeadline is that of net.TCPListener, and lets Accept begin.
func (l *LateListener) SetDeadline(t time.Time) error {
	l.once.Do(func() { close(l.told) })
	return l.TCPListener.SetDeadline(t)
}

// Close implements net.Listener.
func (l *LateListener) Close() error {
	l.once.Do(func() { close(l.told) })
	return l.TCPListener.Close()
}

// BrokenOffListener accepts nobody at all: it is always interrupted before.
type BrokenOffListener struct{ *LateListener }

// Accept implements net.Listener.
func (l BrokenOffListener) Accept() (net.Conn, error) {
	<-l.told
	return nil, os.ErrDeadlineExceeded
}
