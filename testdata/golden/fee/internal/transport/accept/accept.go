// Package accept takes in the connections of a transport, by listeners that come and
// go while it serves: none is lost that the kernel has let in.
package accept

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"example.com/fee/internal/logging"
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

// An Entrance is where the connections of a transport come in, by any number of
// acceptors. Its fields are set before the first acceptor is started.
type Entrance struct {
	Admit func(net.Conn) // called for each connection, which is its own from then on
	Fail  func(error)    // called when a listener fails for good
	Log   *slog.Logger

	waits logging.Seldom
	group sync.WaitGroup
}

// Wait returns when all acceptors that were started have ended: Admit is not called
// any more. None is started meanwhile.
func (e *Entrance) Wait() { e.group.Wait() }

// An Acceptor is a listener with the goroutine that accepts from it, once it is
// started.
type Acceptor struct {
	net.Listener
	once   sync.Once
	ending chan struct{} // closed: errors are the end
	ended  chan struct{} // closed with the goroutine; nil before it starts
}

// New makes the acceptor of a listener, which is its own from then on. The caller sees
// to it that none of its methods runs beside Start.
func New(l net.Listener) *Acceptor {
	return &Acceptor{Listener: l, ending: make(chan struct{})}
}

// Start begins to accept.
func (a *Acceptor) Start(e *Entrance) {
	a.ended = make(chan struct{})
	e.group.Go(func() {
		defer close(a.ended)
		a.accept(e)
	})
}

// Close ends accepting at once. It does not wait for the goroutine.
func (a *Acceptor) Close() error {
	a.end()
	return a.Listener.Close()
}

func (a *Acceptor) end() { a.once.Do(func() { close(a.ending) }) }

// Retire ends accepting once all are served whom the kernel has let in, and
// returns when the address is free.
func (a *Acceptor) Retire() {
	a.end()
	if a.ended != nil && a.interrupt(0) {
		<-a.ended
	}
	_ = a.Close()
}

// interrupt makes Accept fail after so long, if the listener can do that.
func (a *Acceptor) interrupt(after time.Duration) bool {
	l, ok := a.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && l.SetDeadline(time.Now().Add(after)) == nil
}

// accept takes connections in until the acceptor ends. When that retires, accept is
// interrupted wherever it is, goes on for the farewell, and closes the listener.
func (a *Acceptor) accept(e *Entrance) {
	pause, retiring := firstPause, false
	for {
		nc, err := a.Accept()
		if err == nil {
			pause = firstPause
			e.Admit(nc)
			continue
		}
		select {
		case <-a.ending:
			if retiring {
				a.sweep(e)
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
			e.Fail(fmt.Errorf("accept: %w", err))
			return
		}
		if e.waits.Due() {
			e.Log.Warn("connections have to wait", "error", err)
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
func (a *Acceptor) sweep(e *Entrance) {
	for nc := a.Queued(); nc != nil; nc = a.Queued() {
		e.Admit(nc)
	}
	_ = a.Listener.Close()
}

// Queued accepts a connection if one is there; else it returns nil. It does not
// wait, whatever the deadline.
func (a *Acceptor) Queued() net.Conn {
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
