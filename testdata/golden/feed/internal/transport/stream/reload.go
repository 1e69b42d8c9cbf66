// The change to another configuration while the service runs.

package stream

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"reflect"
	"syscall"

	"example.com/feed/internal/transport"
	"example.com/feed/internal/transport/accept"
)

// Reload implements transport.Transport. Another address is bound here and
// accepted from as of Commit, which returns when the old one is free again; the
// connections stay. Once the transport has retired or stopped, Reload
// returns transport.ErrStopped.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(Config)
	if !ok || reflect.TypeOf(to) != t.section {
		return transport.Change{}, fmt.Errorf("reload of a %s with a %T", t.section, to)
	}
	t.mu.Lock()
	present := t.acceptor
	t.mu.Unlock()
	if present == nil {
		return transport.Change{}, transport.ErrStopped
	}
	next, err := prepare(c)
	if err != nil {
		return transport.Change{}, err
	}
	var fresh net.Listener
	if e := next.endpoint; e.Address != t.present.Load().endpoint.Address {
		l, err := t.bind(e)
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && e.Network == "tcp" && samePort(e.Address, present.Addr().String()):
			err = fmt.Errorf("%w; this service has %s until it is restarted", err, present.Addr())
			return transport.Change{}, &transport.NeedsRestartError{Key: e.Key, Cause: err}
		case errors.Is(err, fs.ErrPermission): // root can bind it at the start
			return transport.Change{}, &transport.NeedsRestartError{Key: e.Key, Cause: err}
		case err != nil:
			return transport.Change{}, err
		}
		fresh = l
	}
	return transport.Change{
		Commit: func() { t.commit(next, fresh) },
		Abort: func() {
			if fresh != nil {
				_ = fresh.Close()
			}
		},
	}, nil
}

// samePort tells whether two addresses may overlap, as all addresses of the
// machine do with one of them.
func samePort(a, b string) bool {
	_, p, _ := net.SplitHostPort(a)
	_, q, _ := net.SplitHostPort(b)
	return p == q
}

// commit makes the change; fresh is nil if the address stays.
func (t *Transport) commit(next *present, fresh net.Listener) {
	t.mu.Lock()
	t.present.Store(next)
	for c := range t.conns {
		c.wake()
	}
	if fresh == nil {
		t.mu.Unlock()
		return
	}
	if t.state > serving {
		t.mu.Unlock()
		_ = fresh.Close()
		return
	}
	old := t.acceptor
	t.acceptor = accept.New(fresh)
	if t.state == serving {
		t.start(t.acceptor)
	}
	t.mu.Unlock()
	old.Retire()
}
