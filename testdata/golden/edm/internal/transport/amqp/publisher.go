// The connection by which replies and dead letters go out.

package amqp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// confirmLimit is how long the broker may take to keep a dead letter.
const confirmLimit = 5 * time.Second

// publisher is made when it is needed. Its connection is one of its own, since a
// broker that is low on disk or memory takes nothing from a connection that
// publishes: acknowledgements must not wait behind that.
type publisher struct {
	transport *Transport
	connects  chan struct{} // holds one while somebody gets the link
	letters   chan struct{} // holds one while a letter is on its way: who comes back is the one

	mu   sync.Mutex
	link *link // nil: none
	shut bool

	// Guarded by connects: no more attempts than make sense.
	pauses backoff
	node   int
	failed error     // the last attempt, and
	until  time.Time // when to make another
}

// link is a connection with its two channels.
type link struct {
	config   *Config
	conn     *connection
	letters  *amqp091.Channel // confirmed by the broker
	replies  *amqp091.Channel
	returned chan amqp091.Return // letters that no queue has taken

	mu      sync.Mutex
	blocked chan struct{} // closed while the broker takes nothing
	free    chan struct{} // closed while it does
}

func newPublisher(t *Transport) *publisher {
	return &publisher{transport: t, connects: make(chan struct{}, 1), letters: make(chan struct{}, 1)}
}

// errBlocked is why nothing can be published for the time being.
var errBlocked = errors.New("the broker takes nothing from those who publish: it is low on disk or memory")

// errShut is why nothing can be published any more.
var errShut = errors.New("the connection is closed")

// publishLetter returns when the broker keeps the letter, whose routing key goes
// with it. After an error it may have it nevertheless.
func (p *publisher) publishLetter(ctx context.Context, exchange, key string, letter amqp091.Publishing) error {
	ctx, cancel := context.WithTimeout(ctx, confirmLimit)
	defer cancel()
	select {
	case p.letters <- struct{}{}:
		defer func() { <-p.letters }()
	case <-ctx.Done():
		return errors.New("others are before it")
	}
	l, err := p.get(ctx)
	if err != nil {
		return fmt.Errorf("exchange %q: %w", exchange, err)
	}
	if err := l.publishLetter(ctx, exchange, key, letter); err != nil {
		return fmt.Errorf("exchange %q: %w", exchange, err)
	}
	return nil
}

func (l *link) publishLetter(ctx context.Context, exchange, key string, letter amqp091.Publishing) error {
	blocked, _ := l.gates()
	if isClosed(blocked) {
		return errBlocked
	}
	for len(l.returned) > 0 {
		<-l.returned
	}
	const mandatory = true // who is to be kept by no queue comes back
	confirmation, err := l.letters.PublishWithDeferredConfirm(exchange, key, mandatory, false, letter)
	if err != nil {
		return err
	}
	select {
	case <-confirmation.Done():
	case <-blocked:
		return errBlocked
	case <-ctx.Done():
		l.conn.kill() // the next letter must not be taken for this one
		return fmt.Errorf("not confirmed by the broker within %s", confirmLimit)
	}
	switch {
	case len(l.returned) > 0:
		return errors.New("no queue is bound to it")
	case !confirmation.Acked():
		return errors.New("not kept by the broker")
	}
	return nil
}

// get returns the link, made anew if there is none, if it is lost, or if the
// configuration is another one by now.
func (p *publisher) get(ctx context.Context) (*link, error) {
	select {
	case p.connects <- struct{}{}:
		defer func() { <-p.connects }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	settings := p.transport.settings.Load()
	old, shut := p.current()
	switch {
	case shut:
		return nil, errShut
	case old != nil && old.isUp() && old.config.sameServer(settings):
		return old, nil
	case time.Now().Before(p.until):
		return nil, p.failed
	}
	fresh, err := p.open(ctx, settings)
	if err != nil {
		p.failed, p.until = err, time.Now().Add(p.pauses.next())
		return nil, err
	}
	p.pauses.bound = 0
	if !p.set(fresh) {
		fresh.conn.kill()
		return nil, errShut
	}
	if old != nil {
		old.close()
	}
	return fresh, nil
}

func (p *publisher) current() (l *link, shut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link, p.shut
}

// set makes a link the present one, unless the publisher is closed.
func (p *publisher) set(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.shut {
		p.link = l
	}
	return !p.shut
}

func (p *publisher) open(ctx context.Context, c *Config) (*link, error) {
	node := c.URLs[p.node%len(c.URLs)]
	p.node++
	conn, err := c.dial(ctx, node, "publisher")
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, conn.kill)
	l := &link{config: c, conn: conn, blocked: make(chan struct{}), free: make(chan struct{})}
	close(l.free)
	go l.watch(conn.NotifyBlocked(make(chan amqp091.Blocking, 1)), p.transport.changed)
	err = l.prepare()
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.close()
		return nil, fmt.Errorf("%s: %w", conn.node, err)
	}
	return l, nil
}

func (l *link) prepare() (err error) {
	if l.letters, err = l.conn.Channel(); err != nil {
		return err
	}
	if err = l.letters.Confirm(false); err != nil {
		return err
	}
	l.returned = l.letters.NotifyReturn(make(chan amqp091.Return, 16))
	l.replies, err = l.conn.Channel()
	return err
}

// isUp reports whether both channels are of use: an exchange that is not there
// ends the one, a reply that the broker does not take the other.
func (l *link) isUp() bool { return !l.letters.IsClosed() && !l.replies.IsClosed() }

// watch follows whether the broker takes what is published, until the connection
// ends.
func (l *link) watch(blockings <-chan amqp091.Blocking, changed func()) {
	for b := range blockings {
		l.mu.Lock()
		switch {
		case b.Active && !isClosed(l.blocked):
			l.free = make(chan struct{})
			close(l.blocked)
		case !b.Active && isClosed(l.blocked):
			l.blocked = make(chan struct{})
			close(l.free)
		}
		l.mu.Unlock()
		changed()
	}
	l.mu.Lock()
	if isClosed(l.blocked) {
		l.blocked = make(chan struct{})
		close(l.free) // so that those who wait find out
	}
	l.mu.Unlock()
	changed()
}

// gates returns what is closed while the broker takes nothing, and what is while
// it does.
func (l *link) gates() (blocked, free <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked, l.free
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// close takes leave, unless the broker would not read it.
func (l *link) close() {
	if blocked, _ := l.gates(); isClosed(blocked) {
		l.conn.kill()
	}
	l.conn.close()
}

// isBlocked reports whether the broker takes nothing.
func (p *publisher) isBlocked() bool {
	l, _ := p.current()
	if l == nil {
		return false
	}
	blocked, _ := l.gates()
	return isClosed(blocked)
}

// kill ends the connection at once; nothing is published from then on.
func (p *publisher) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	if p.link != nil {
		p.link.conn.kill()
	}
}

// close ends the connection when what was published is on its way. It may be
// called twice.
func (p *publisher) close() {
	p.mu.Lock()
	l := p.link
	p.link, p.shut = nil, true
	p.mu.Unlock()
	if l != nil {
		l.close()
	}
}
