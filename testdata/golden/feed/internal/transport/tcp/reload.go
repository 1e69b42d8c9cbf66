// The change to another configuration while the service runs.

package tcp

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"example.com/feed/internal/transport"
)

// Reload implements transport.Transport. Another address is bound here and
// accepted from as of Commit, which returns when the old one is free again; the
// connections stay. Once the transport has stopped, Reload returns
// transport.ErrStopped.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(*Config)
	if !ok {
		return transport.Change{}, fmt.Errorf("reload of a %T with a %T", t.settings.Load(), to)
	}
	settings := *c
	t.mu.Lock()
	present := t.acceptor
	t.mu.Unlock()
	if present == nil {
		return transport.Change{}, transport.ErrStopped
	}
	var fresh net.Listener
	if settings.Listen != t.settings.Load().Listen {
		l, err := t.bind(settings.Listen)
		if errors.Is(err, syscall.EADDRINUSE) && samePort(settings.Listen, present.Addr().String()) {
			err = fmt.Errorf("%w; this service has %s until it is restarted", err, present.Addr())
		}
		if err != nil {
			return transport.Change{}, err
		}
		fresh = l
	}
	return transport.Change{
		Commit: func() { t.commit(&settings, fresh) },
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
func (t *Transport) commit(settings *Config, fresh net.Listener) {
	t.mu.Lock()
	t.settings.Store(settings)
	for c := range t.conns {
		c.wake()
	}
	if fresh == nil {
		t.mu.Unlock()
		return
	}
	if t.state >= stopping {
		t.mu.Unlock()
		_ = fresh.Close()
		return
	}
	old := t.acceptor
	t.acceptor = newAcceptor(fresh)
	if t.state == serving {
		t.start(t.acceptor)
	}
	t.mu.Unlock()
	old.retire()
}
