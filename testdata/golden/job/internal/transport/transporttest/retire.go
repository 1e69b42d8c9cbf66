// Making way for another process, which an upgrade of the program does: nobody
// who is here notices, nor anybody who comes.

package transporttest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// dup returns another listener on the same open socket, as another process
// would have it. It does not go by File, whose descriptor os/exec and
// net.FileListener put into blocking mode: that would hold for l as well, and
// nothing but another peer would interrupt its Accept any more.
func dup(t *testing.T, l net.Listener) net.Listener {
	t.Helper()
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	descriptor, failed := -1, error(nil)
	if err := raw.Control(func(fd uintptr) { descriptor, failed = syscall.Dup(int(fd)) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	syscall.CloseOnExec(descriptor)
	file := os.NewFile(uintptr(descriptor), "listener")
	defer func() { _ = file.Close() }()
	other, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// successor starts a transport that shares the socket of s.
func (s *service) successor() *service {
	s.t.Helper()
	s.mu.Lock()
	l := s.listeners[len(s.listeners)-1]
	s.mu.Unlock()
	next := newServiceOn(s.t, s.h, s.h.Config(), dup(s.t, l))
	next.serve(new(Echo))
	return next
}

// Pitfall 50: those who are here are served as before, until they leave.
func retireWithPeers(t *testing.T, h Harness) {
	needs(t, h.Listens, "address of its own")
	const peers = 4
	s := start(t, h, new(Echo))
	address := h.Address(s.Transport)
	var here []Peer
	for i := range peers {
		p := s.dial()
		if err := exchange(p, h, i, 0, 10); err != nil {
			t.Fatal(err)
		}
		here = append(here, p)
	}
	for range 2 {
		s.Retire()
	}
	s.refused(address)
	if s.Status() == "" {
		t.Error("no status of a retired transport")
	}
	for i, p := range here {
		if err := exchange(p, h, i, 10, 60); err != nil {
			t.Errorf("peer %d: %v", i, err)
		}
		if s.Ended() {
			t.Fatalf("Serve returned with %d peers left", peers-i)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	s.Wait()
}

// A peer that was let in before is served although it had sent nothing yet.
func retireSilentPeers(t *testing.T, h Harness) {
	needs(t, h.Listens, "address of its own")
	s := start(t, h, new(Echo))
	var silent []Peer
	for range 4 {
		silent = append(silent, s.dial())
	}
	serves(t, s) // whoever came before is let in as well
	s.Retire()
	for i, p := range silent {
		if err := exchange(p, h, i, 0, 20); err != nil {
			t.Errorf("peer %d: %v", i, err)
		}
	}
	for _, p := range silent {
		_ = p.Close()
	}
	s.Stop() // the peer of serves is still there
}

// What is under way, or sent and not yet read, is handled and answered.
func retireBusy(t *testing.T, h Harness) {
	needs(t, h.Listens && h.Ordered, "address of its own, or messages of a peer side by side")
	const messages = 600 // more than a peer may have under way
	q := make(Queue)
	s := start(t, h, q)
	peer := s.dial()
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			if err := peer.Send(body(0, i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for i := 0; i < messages && h.Replies; i++ {
			if reply, err := peer.Receive(); err != nil || !bytes.Equal(reply, body(0, i)) {
				t.Errorf("reply %d: %.20q…, %v", i, reply, err)
				return
			}
		}
	})
	first := q.Take(t)
	s.Retire()
	Answer(first)
	for range messages - 1 {
		Answer(q.Take(t))
	}
	if err := <-sent; err != nil {
		t.Error("send:", err)
	}
	receiving.Wait()
	if s.Ended() {
		t.Error("Serve returned before the peer left")
	}
	_ = peer.Close()
	s.Wait()
}

// The end of ctx drains a retired transport as any other.
func retireAndDrain(t *testing.T, h Harness) {
	q := make(Queue, 1)
	s := start(t, h, q)
	busy := s.dial()
	if err := busy.Send(body(0, 0)); err != nil {
		t.Fatal(err)
	}
	m := q.Take(t)
	s.dial() // stays, and does not matter
	s.Retire()
	s.Cancel()
	select {
	case <-s.ended:
		t.Fatal("Serve returned with a message under way")
	case <-time.After(20 * time.Millisecond): // time to return too early
	}
	Answer(m)
	if h.Replies {
		if reply, err := busy.Receive(); err != nil || !bytes.Equal(reply, body(0, 0)) {
			t.Errorf("reply %.20q…, %v", reply, err)
		}
	}
	s.Wait()
}

func retireAndClose(t *testing.T, h Harness) {
	q := make(Queue, 1)
	s := start(t, h, q)
	if err := s.dial().Send(body(0, 0)); err != nil {
		t.Fatal(err)
	}
	m := q.Take(t)
	s.Retire()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Wait() // although nothing is settled
	Answer(m)
}

func retireAnyTime(t *testing.T, h Harness) {
	t.Run("without peers", func(t *testing.T) {
		s := start(t, h, new(Echo))
		serveBegun(s)
		s.Retire()
		s.Wait()
		s.Retire()
	})
	t.Run("before serving", func(t *testing.T) {
		s := newService(t, h)
		s.Retire()
		s.serve(new(Echo))
		s.Wait()
	})
	t.Run("without serving", func(t *testing.T) {
		newService(t, h).Retire()
	})
	t.Run("after the end", func(t *testing.T) {
		s := start(t, h, new(Echo))
		s.Stop()
		s.Retire()
	})
	t.Run("after Close", func(t *testing.T) {
		s := newService(t, h)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s.Retire()
	})
	t.Run("several at once", func(t *testing.T) {
		s := start(t, h, new(Echo))
		var group sync.WaitGroup
		for range 4 {
			group.Go(s.Retire)
		}
		group.Wait()
		s.Wait()
	})
}

// serveBegun returns once peers are served, and none is left.
func serveBegun(s *service) {
	p := s.dial()
	if err := exchange(p, s.h, 0, 0, 1); err != nil {
		s.t.Error(err)
	}
	_ = p.Close()
}

func retireWhileReloading(t *testing.T, h Harness) {
	s := start(t, h, new(Echo))
	change := s.reload(h.Config())
	s.Retire()
	change.Commit()
	if h.Listens {
		s.refused(s.newest())
	}
	s.Wait()
	s = start(t, h, new(Echo))
	s.Retire()
	if change, err := s.Reload(h.Config()); err == nil {
		change.Abort()
		t.Error("a retired transport was reloaded")
	}
	s.Wait()
}

// Pitfall 50: while one transport after the other takes over, each connection
// is served, by one or the other.
func handoversUnderLoad(t *testing.T, h Harness) {
	needs(t, h.Listens && h.Replies, "address of its own, or no replies to miss")
	const peers, handovers, atLeast = 8, 20, 2000
	s := start(t, h, new(Echo))
	address := h.Address(s.Transport)
	var connections atomic.Int64
	var done atomic.Bool
	var group sync.WaitGroup
	defer group.Wait()
	defer done.Store(true)
	for i := range peers {
		group.Go(func() {
			for !done.Load() {
				if err := once(h, address, i); err != nil {
					t.Errorf("connection %d: %v", connections.Load(), err)
					return
				}
				connections.Add(1)
			}
		})
	}
	for i := range handovers {
		Poll(t, "connections", func() bool { return connections.Load() >= int64(i*atLeast/handovers) || t.Failed() })
		next := s.successor()
		s.Retire()
		s.Wait()
		s = next
		if t.Failed() {
			return
		}
	}
	Poll(t, "connections", func() bool { return connections.Load() >= atLeast || t.Failed() })
}

// once connects, sends a few messages, and leaves.
func once(h Harness, address string, peer int) error {
	p, err := h.Dial(address)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = p.Close() }()
	return exchange(p, h, peer, 0, 1+peer%3)
}
