// The change to another configuration while the service runs.

package zeromq

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"

	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/accept"
)

// Reload implements transport.Transport. New addresses are bound here and
// accepted from as of Commit, which returns when those that are given up are free
// again; the connections that were accepted stay. Once the transport has retired
// or stopped, Reload returns transport.ErrStopped.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(*Config)
	if !ok {
		return transport.Change{}, fmt.Errorf("reload of a %T with a %T", t.settings.Load(), to)
	}
	settings := *c
	t.mu.Lock()
	over := t.state > serving
	t.mu.Unlock()
	if over {
		return transport.Change{}, transport.ErrStopped
	}
	fresh := make(map[string]net.Listener)
	abort := func() {
		for _, l := range fresh {
			_ = l.Close()
		}
	}
	for _, text := range without(settings.Bind, t.settings.Load().Bind) {
		l, err := t.bind(text)
		if err != nil {
			abort()
			return transport.Change{}, t.classify(text, err)
		}
		fresh[text] = l
	}
	return transport.Change{Commit: func() { t.commit(&settings, fresh) }, Abort: abort}, nil
}

// classify tells an address that can't be bound while the service runs from one
// that can't be bound at all.
func (t *Transport) classify(text string, err error) error {
	if errors.Is(err, syscall.EACCES) && !isFile(text) { // root can bind it at the start
		return &transport.NeedsRestartError{Key: "bind", Cause: err}
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.acceptors {
		if samePort(text, a.Addr()) {
			err = fmt.Errorf("%w; this service has %s until it is restarted", err, textOf(a.Addr()))
			return &transport.NeedsRestartError{Key: "bind", Cause: err}
		}
	}
	return err
}

func isFile(text string) bool {
	a, err := parseAddress(text)
	return err == nil && a.network == "unix"
}

// samePort tells whether two addresses may overlap, as all addresses of the
// machine do with one of them.
func samePort(text string, b net.Addr) bool {
	a, err := parseAddress(text)
	if err != nil || a.network != "tcp" || b.Network() != "tcp" {
		return false
	}
	_, p, _ := net.SplitHostPort(a.address)
	_, q, _ := net.SplitHostPort(b.String())
	return p == q
}

// commit makes the change; fresh has the listeners of new addresses.
func (t *Transport) commit(settings *Config, fresh map[string]net.Listener) {
	t.mu.Lock()
	if t.state > serving {
		t.mu.Unlock()
		for _, l := range fresh {
			_ = l.Close()
		}
		return
	}
	t.settings.Store(settings)
	for c := range t.conns {
		c.wake()
	}
	old := t.exchangeAcceptors(settings, fresh)
	t.exchangeDialers(settings)
	if t.state == bound {
		for _, a := range old {
			t.keep(a)
		}
		old = nil
	}
	t.mu.Unlock()
	for _, a := range old {
		a.Retire()
	}
}

// keep closes an acceptor that has not begun, and keeps those whom the kernel has
// let in for when the transport serves. The caller holds t.mu.
func (t *Transport) keep(a *accept.Acceptor) {
	for nc := a.Queued(); nc != nil; nc = a.Queued() {
		t.early = append(t.early, nc)
	}
	_ = a.Close()
}

// exchangeAcceptors begins to accept at new addresses, and returns the acceptors
// of those that are given up. The caller holds t.mu.
func (t *Transport) exchangeAcceptors(settings *Config, fresh map[string]net.Listener) (old []*accept.Acceptor) {
	for text, a := range t.acceptors {
		if !slices.Contains(settings.Bind, text) {
			old = append(old, a)
			delete(t.acceptors, text)
		}
	}
	for text, l := range fresh {
		a := accept.New(l)
		t.acceptors[text] = a
		if t.state == serving {
			t.start(a)
		}
	}
	return old
}

// exchangeDialers begins to connect to new addresses, and ends the connections to
// those that are given up. The caller holds t.mu.
func (t *Transport) exchangeDialers(settings *Config) {
	for text, d := range t.dialers {
		if !slices.Contains(settings.Connect, text) {
			d.stop()
			delete(t.dialers, text)
		}
	}
	for _, text := range settings.Connect {
		if t.dialers[text] != nil {
			continue
		}
		d := newDialer(text)
		t.dialers[text] = d
		if t.state == serving {
			t.dial(d)
		}
	}
}
