// Listening, and taking connections in.

package stream

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// How long accepting pauses after an error, doubling from the first to the
	// second: most likely the descriptors ran out, and come back as
	// connections end.
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second

	// How long an address that is given up is still served, for those who are
	// connecting at that moment.
	farewell = 10 * time.Millisecond
)

// seldom says when a thing that happens often is to be logged: the first time,
// and then once a minute.
type seldom struct {
	mu   sync.Mutex
	last time.Time
}

func (s *seldom) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < time.Minute {
		return false
	}
	s.last = time.Now()
	return true
}

// acceptor is a listener with the goroutine that accepts from it.
type acceptor struct {
	net.Listener
	once   sync.Once
	ending chan struct{} // closed: errors are the end
	ended  chan struct{} // closed with the goroutine; nil before it starts
}

func newAcceptor(l net.Listener) *acceptor {
	return &acceptor{Listener: l, ending: make(chan struct{})}
}

// close ends accepting at once. It does not wait for the goroutine.
func (a *acceptor) close() error {
	a.end()
	return a.Close()
}

func (a *acceptor) end() { a.once.Do(func() { close(a.ending) }) }

// retire ends accepting once all are served whom the kernel has let in, and
// returns when the address is free.
func (a *acceptor) retire() {
	a.end()
	if a.ended != nil && a.interrupt(0) {
		<-a.ended
	}
	_ = a.close()
}

// interrupt makes Accept fail after so long, if the listener can do that.
func (a *acceptor) interrupt(after time.Duration) bool {
	l, ok := a.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && l.SetDeadline(time.Now().Add(after)) == nil
}

// bind listens where the endpoint is. Its errors name the key and the cause, and
// leave out the names of system calls.
func (t *Transport) bind(e *Endpoint) (net.Listener, error) {
	l, err := t.listen(e.Network, e.Address)
	if err == nil && e.Bound != nil {
		if err := e.Bound(l); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	if err == nil {
		return l, nil
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	if call := (*os.SyscallError)(nil); errors.As(err, &call) {
		err = call.Err
	}
	return nil, fmt.Errorf("%s = %q: %w", e.Key, e.Address, err)
}

// start begins to accept from a. The caller holds t.mu and the transport is
// serving.
func (t *Transport) start(a *acceptor) {
	a.ended = make(chan struct{})
	t.accepting.Add(1)
	go t.accept(a)
	t.log.Info("listening", "address", a.Addr().String())
}

// accept takes connections in until a ends. When a retires, it is interrupted
// wherever it is, goes on for the farewell, and closes the listener.
func (t *Transport) accept(a *acceptor) {
	defer t.accepting.Done()
	defer close(a.ended)
	pause, retiring := firstPause, false
	for {
		nc, err := a.Accept()
		if err == nil {
			pause = firstPause
			t.admit(nc)
			continue
		}
		select {
		case <-a.ending:
			if retiring {
				t.sweep(a)
				return
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || !a.interrupt(farewell) {
				return
			}
			retiring = true
			continue
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			t.fail(fmt.Errorf("accept: %w", err))
			return
		}
		if t.noAccept.due() {
			t.log.Warn("connections have to wait", "error", err)
		}
		select {
		case <-a.ending:
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// sweep takes in whom the kernel has let in by now, and closes the listener
// without a moment in between: whoever is in the queue then is reset. There may
// be a queue although Accept was interrupted, on a busy machine.
func (t *Transport) sweep(a *acceptor) {
	for nc := a.queued(); nc != nil; nc = a.queued() {
		t.admit(nc)
	}
	_ = a.Close()
}

// queued accepts a connection if one is there; else it returns nil. It does not
// wait, whatever the deadline.
func (a *acceptor) queued() net.Conn {
	l, ok := a.Listener.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	descriptor := -1
	err = raw.Control(func(listener uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		for {
			descriptor, _, err = syscall.Accept(int(listener))
			// The next in the queue does not suffer for one who has gone.
			if !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.ECONNABORTED) {
				break
			}
		}
		if err == nil {
			syscall.CloseOnExec(descriptor)
		}
	})
	if err != nil || descriptor < 0 {
		return nil
	}
	file := os.NewFile(uintptr(descriptor), "connection")
	defer func() { _ = file.Close() }()
	nc, err := net.FileConn(file)
	if err != nil {
		return nil
	}
	return nc
}

// admit serves a connection, or refuses it.
func (t *Transport) admit(nc net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == closed {
		_ = nc.Close()
		return
	}
	p := t.present.Load()
	if p.endpoint.Admit != nil {
		if err := p.endpoint.Admit(nc); err != nil {
			t.unwanted.Add(1)
			if t.noEntry.due() {
				t.log.Warn("connection refused", "error", err, "peer", p.endpoint.peer(nc), "refused", t.unwanted.Load())
			}
			_ = nc.Close()
			return
		}
	}
	if limit := p.settings.MaxConnections; len(t.conns) >= limit {
		t.refused.Add(1)
		if t.full.due() {
			t.log.Warn("connection refused, max_connections are open", "max_connections", limit,
				"peer", p.endpoint.peer(nc), "refused", t.refused.Load())
		}
		_ = nc.Close()
		return
	}
	if p.endpoint.Wrap != nil {
		nc = p.endpoint.Wrap(nc)
	}
	c := newConn(t, nc, p)
	t.conns[c] = struct{}{}
	t.peers.Go(func() {
		defer t.forget(c)
		c.serve(t.ctx, t.queue)
	})
}

func (t *Transport) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}
