// Listening, and taking connections in.

package zeromq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"syscall"

	"example.com/fee/internal/transport/accept"
)

// bind listens on an address of the configuration. Its errors name the key and the
// cause.
func (t *Transport) bind(text string) (net.Listener, error) {
	a, err := parseAddress(text)
	if err == nil {
		var l net.Listener
		if l, err = t.listen(a.network, a.address); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("bind = %q: %w", text, shorten(err))
}

// start begins to accept from a. The caller holds t.mu and the transport is
// serving.
func (t *Transport) start(a *accept.Acceptor) {
	a.Start(&t.entrance)
	log := t.log
	if c := t.settings.Load(); c.Mechanism == curve {
		log = log.With("public_key", key(c.SecretKey.Reveal()).Public().Text())
	}
	log.Info("listening", "address", textOf(a.Addr()))
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
		if t.full.Due() {
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
	left := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || errors.Is(err, errEnding)
	if !left && t.badPeer.Due() {
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
