// Connecting to peers that listen.

package zeromq

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"
)

// dialer keeps a connection to an address, made anew whenever it is lost.
type dialer struct {
	text      string // the address as in the configuration
	connected atomic.Bool
	ctx       context.Context
	stop      context.CancelFunc
}

func newDialer(text string) *dialer {
	ctx, stop := context.WithCancel(context.Background())
	return &dialer{text: text, ctx: ctx, stop: stop}
}

// dial starts d. The caller holds t.mu and the transport is serving.
func (t *Transport) dial(d *dialer) {
	t.connecting.Go(func() {
		failures := 0
		for t.ctx.Err() == nil && d.ctx.Err() == nil {
			if t.connect(d) {
				failures = 0
			}
			failures++
			select {
			case <-d.ctx.Done():
			case <-t.ctx.Done():
			case <-time.After(t.pause(failures)):
			}
		}
	})
}

// pause is how long to wait after so many failures: a random time, so that many
// who have lost the same peer do not come back to it at once.
func (t *Transport) pause(failures int) time.Duration {
	c := t.settings.Load()
	limit := time.Duration(c.ReconnectMax)
	if doublings := failures - 1; doublings < 32 && time.Duration(c.Reconnect)<<doublings < limit {
		limit = time.Duration(c.Reconnect) << doublings
	}
	return rand.N(limit) + 1
}

// connect makes the connection of d and serves it to its end. It reports whether
// there was one on which messages could flow.
func (t *Transport) connect(d *dialer) bool {
	settings := t.settings.Load()
	a, err := parseAddress(d.text)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(d.ctx, time.Duration(settings.HandshakeTimeout))
	defer cancel()
	end := context.AfterFunc(t.ctx, cancel)
	defer end()
	var network net.Dialer
	nc, err := network.DialContext(ctx, a.network, a.address)
	if err != nil {
		t.failed(d, err)
		return false
	}
	c := t.take(nc)
	if c == nil {
		return false
	}
	defer t.forget(c, false)
	stop := context.AfterFunc(d.ctx, c.stop)
	defer stop()
	if err := c.shake(false); err != nil {
		_ = nc.Close()
		t.failed(d, err)
		return false
	}
	d.connected.Store(true)
	defer d.connected.Store(false)
	t.log.Info("connected", "address", d.text)
	t.failed(d, c.serve(t.ctx, t.queue))
	return true
}

// failed logs why there is no connection, unless that is what was wanted.
func (t *Transport) failed(d *dialer, err error) {
	if d.ctx.Err() != nil || t.ctx.Err() != nil {
		return
	}
	level := slog.LevelDebug
	if t.lost.Due() {
		level = slog.LevelWarn
	}
	t.log.Log(context.Background(), level, "not connected, trying again for as long as it takes; logged once a minute",
		"address", d.text, "error", shorten(err))
}

// take enters a connection that was made; nil if nobody wants it any more.
func (t *Transport) take(nc net.Conn) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == closed {
		_ = nc.Close()
		return nil
	}
	return t.newConn(nc)
}
