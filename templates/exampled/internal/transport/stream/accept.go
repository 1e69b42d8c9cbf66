// Listening, and taking connections in.

package stream

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport/accept"
)

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
func (t *Transport) start(a *accept.Acceptor) {
	a.Start(&t.entrance)
	t.log.Info("listening", "address", a.Addr().String())
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
			if t.noEntry.Due() {
				t.log.Warn("connection refused", "error", err, "peer", p.endpoint.peer(nc), "refused", t.unwanted.Load())
			}
			_ = nc.Close()
			return
		}
	}
	if limit := p.settings.MaxConnections; len(t.conns) >= limit {
		t.refused.Add(1)
		if t.full.Due() {
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
