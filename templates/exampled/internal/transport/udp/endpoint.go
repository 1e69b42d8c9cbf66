// One socket: what arrives at it, and the replies that leave it.

package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

// lastCall is how long an address that was given up is still read, for what was
// sent to it before.
const lastCall = 100 * time.Millisecond

// How long reading pauses after an error of the system, which may not be the last,
// doubling from the first to the second.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// An endpoint is a socket with the messages that came from it and have no reply
// yet, which leaves from the address that its sender has written to.
type endpoint struct {
	t       *Transport
	conn    *net.UDPConn
	pending sync.WaitGroup // messages that are not settled

	mu      sync.Mutex
	stopped bool // read no more
}

// setBuffer sets the kernel's buffer. It gives less than it is asked for where an
// administrator has said so.
func (e *endpoint) setBuffer(c *Config) error {
	if c.ReceiveBuffer == 0 {
		return nil
	}
	return e.conn.SetReadBuffer(int(c.ReceiveBuffer))
}

// serve takes what arrives to the queue, and returns when that is to end and all
// of it is settled.
func (e *endpoint) serve(ctx context.Context, queue transport.Queue) {
	e.read(ctx, queue)
	e.pending.Wait()
}

func (e *endpoint) read(ctx context.Context, queue transport.Queue) {
	var buffer []byte
	pause := firstPause
	for {
		// One byte more than a message may have shows that it has more.
		if room := int(e.t.settings.Load().MaxMessage) + 1; room != len(buffer) {
			buffer = make([]byte, room)
		}
		n, peer, err := e.conn.ReadFromUDPAddrPort(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			e.t.log.Warn("a datagram could not be read", "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		if n == len(buffer) {
			e.t.counts.tooLong.Add(1)
			continue
		}
		e.pending.Add(1)
		m := &message{e: e, peer: peer, body: append([]byte(nil), buffer[:n]...)}
		if taken, _ := queue.Submit(ctx, []transport.Message{m}); taken == 0 { // the service stops
			m.Settle(nil, transport.ErrStopped)
			return
		}
		e.t.counts.taken.Add(1)
	}
}

// stop ends reading.
func (e *endpoint) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	_ = e.conn.SetReadDeadline(time.Now())
}

// replace ends reading after the last call.
func (e *endpoint) replace() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopped {
		_ = e.conn.SetReadDeadline(time.Now().Add(lastCall))
	}
}

// message is a datagram on its way.
type message struct {
	e    *endpoint
	peer netip.AddrPort
	body []byte
}

// Body implements transport.Message.
func (m *message) Body() []byte { return m.body }

// Settle implements transport.Message. To send a datagram is up to this machine:
// the peer can't hold it up.
func (m *message) Settle(reply []byte, err error) {
	defer m.e.pending.Done()
	if errors.Is(err, transport.ErrStopped) || !m.e.t.settings.Load().Reply {
		return
	}
	if _, err := m.e.conn.WriteToUDPAddrPort(reply, m.peer); err != nil && !errors.Is(err, net.ErrClosed) {
		m.e.t.counts.unsent.Add(1)
		m.e.t.log.Debug("a reply could not be sent", "peer", m.peer, "error", err)
	}
}
