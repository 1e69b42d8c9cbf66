// The change to another configuration while the service runs.

package amqp

import (
	"context"
	"fmt"

	"example.com/edm/internal/transport"
)

// Reload implements transport.Transport. Where messages come from, and how, is
// changed by another connection, which is made here; as of Commit messages come by
// that, and those that came by the old one are settled on it. Once the transport
// has retired or stopped, Reload returns transport.ErrStopped.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(*Config)
	if !ok {
		return transport.Change{}, fmt.Errorf("reload of a %T with a %T", t.settings.Load(), to)
	}
	settings := *c
	t.mu.Lock()
	state := t.state
	t.mu.Unlock()
	if state > serving {
		return transport.Change{}, transport.ErrStopped
	}
	var fresh *session
	if !settings.sameSession(t.settings.Load()) {
		var err error
		if fresh, err = t.openAny(context.Background(), &settings); err != nil {
			return transport.Change{}, err
		}
		t.add(fresh)
	}
	return transport.Change{
		Commit: func() { t.commit(&settings, fresh) },
		Abort: func() {
			if fresh != nil {
				t.discard(fresh)
			}
		},
	}, nil
}

// commit makes the change; fresh is nil if the connection stays.
func (t *Transport) commit(settings *Config, fresh *session) {
	t.settings.Store(settings)
	if fresh == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state > serving {
		t.discard(fresh)
		return
	}
	if t.next != nil {
		t.discard(t.next)
	}
	t.next = fresh
	signal(t.swap)
}

// sameSession reports whether a connection made for one configuration will do for
// the other.
func (c *Config) sameSession(other *Config) bool {
	a, b := *c, *other
	for _, it := range []*Config{&a, &b} {
		it.MaxMessage, it.OrderHeader, it.Wait, it.ConnectTimeout = 0, "", 0, 0
	}
	return a.isEqual(&b)
}

// sameServer reports the same of a connection to publish by.
func (c *Config) sameServer(other *Config) bool {
	a, b := *c, *other
	for _, it := range []*Config{&a, &b} {
		it.MaxMessage, it.OrderHeader, it.Wait, it.ConnectTimeout = 0, "", 0, 0
		it.Exchange, it.ExchangeType, it.ExchangeDurable = "", "", false
		it.Queues, it.QueueType, it.Declare, it.Prefetch = nil, "", false, 0
		it.DeadLetterExchange, it.DeadLetterQueue, it.DeliveryLimit = "", "", 0
	}
	return a.isEqual(&b)
}
