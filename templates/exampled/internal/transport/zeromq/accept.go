// Listening, and taking connections in.

package zeromq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// keepFile leaves the file of a socket to the process that serves it from now on.
func (a *acceptor) keepFile() {
	if l, ok := a.Listener.(interface{ SetUnlinkOnClose(bool) }); ok {
		l.SetUnlinkOnClose(false)
	}
}

// interrupt makes Accept fail after so long, if the listener can do that.
func (a *acceptor) interrupt(after time.Duration) bool {
	l, ok := a.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && l.SetDeadline(time.Now().Add(after)) == nil
}

// bind listens on an address of the configuration. Its errors name the key and the
// cause.
func (t *Transport) bind(text string) (net.Listener, error) {
	a, err := parseAddress(text)
	if err == nil {
		var l net.Listener
		if l, err = t.listen(a.network, a.address); errors.Is(err, syscall.EADDRINUSE) && a.removeStale() {
			l, err = t.listen(a.network, a.address)
		}
		if err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("bind = %q: %w", text, shorten(err))
}

// removeStale removes the file of a socket that nobody listens on any more,
// because its process was killed, and reports whether it did. Pitfall 53.
func (a address) removeStale() bool {
	if a.network != "unix" {
		return false
	}
	if info, err := os.Lstat(a.address); err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	nc, err := net.DialTimeout(a.network, a.address, time.Second)
	if err == nil {
		_ = nc.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(a.address) == nil
}

// start begins to accept from a. The caller holds t.mu and the transport is
// serving.
func (t *Transport) start(a *acceptor) {
	a.ended = make(chan struct{})
	t.accepting.Add(1)
	go t.accept(a)
	log := t.log
	if c := t.settings.Load(); c.Mechanism == curve {
		log = log.With("public_key", key(c.SecretKey.Reveal()).Public().Text())
	}
	log.Info("listening", "address", textOf(a.Addr()))
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

// admit serves a connection that a peer has made, or refuses it.
func (t *Transport) admit(nc net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.admitLocked(nc)
}

func (t *Transport) admitLocked(nc net.Conn) {
	if t.state == closed {
		_ = nc.Close()
		return
	}
	if limit := t.settings.Load().MaxConnections; t.accepted >= limit {
		_ = nc.Close()
		t.refused.Add(1)
		if t.full.due() {
			t.log.Warn("connection refused, max_connections are open", "max_connections", limit,
				"peer", nameOf(nc), "refused", t.refused.Load())
		}
		return
	}
	t.accepted++
	c := t.newConn(nc)
	t.peers.Go(func() {
		defer t.forget(c, true)
		if err := c.shake(true); err != nil {
			t.refuse(c, err)
			return
		}
		_ = c.serve(t.ctx, t.queue) // it has said why it ended
	})
}

// refuse ends a connection whose peer could not be agreed with. Nobody has to know
// of one that has left, as those do that only see whether the port is open.
func (t *Transport) refuse(c *conn, err error) {
	_ = c.nc.Close()
	level := slog.LevelDebug
	left := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed) || errors.Is(err, errEnding)
	if !left && t.badPeer.due() {
		level = slog.LevelWarn
	}
	t.log.Log(context.Background(), level, "connection closed in the handshake; logged once a minute", "peer", nameOf(c.nc), "reason", shorten(err))
}

// forget strikes off a connection that has ended. It was accepted, or made by us.
func (t *Transport) forget(c *conn, accepted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
	if accepted {
		t.accepted--
	}
}
