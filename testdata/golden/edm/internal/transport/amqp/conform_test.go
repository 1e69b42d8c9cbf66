package amqp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/proxytest"
	"example.com/edm/internal/transport"
	"example.com/edm/internal/transport/transporttest"
)

// What every transport does. Each section has an exchange of its own, by whose name
// its peers find it; a proxy is between all of them and the broker.
func TestConformance(t *testing.T) {
	b := newBroker(t)
	p := proxytest.New(t, b.url.Host)
	transporttest.Run(t, transporttest.Harness{
		Config:  func() transport.Config { c := b.config(); c.Prefetch = 100; return through(p, c) },
		Address: func(tr transport.Transport) string { return tr.(*Transport).settings.Load().Exchange },
		Dial:    func(exchange string) (transporttest.Peer, error) { return newPeer(b.url.String(), exchange) },
		Cut: func(transport.Transport) (restore func()) {
			p.Stop()
			return p.Start
		},
		Replies:    true,
		Redelivers: true,
	})
}

// peer publishes to an exchange, and gets the replies in a queue of its own.
type peer struct {
	conn     *amqp091.Connection
	channel  *amqp091.Channel
	exchange string
	inbox    string
	replies  <-chan amqp091.Delivery
}

func newPeer(url, exchange string) (*peer, error) {
	conn, err := amqp091.Dial(url)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: conn, exchange: exchange}
	if err := p.open(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return p, nil
}

func (p *peer) open() (err error) {
	if p.channel, err = p.conn.Channel(); err != nil {
		return err
	}
	if err = p.channel.Confirm(false); err != nil {
		return err
	}
	inbox, err := p.channel.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		return err
	}
	p.inbox = inbox.Name
	p.replies, err = p.channel.Consume(p.inbox, "", true, true, false, false, nil)
	return err
}

// Send implements transporttest.Peer.
func (p *peer) Send(bodies ...[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	defer cancel()
	for _, body := range bodies {
		confirmation, err := p.channel.PublishWithDeferredConfirmWithContext(ctx, p.exchange, "key", true, false, amqp091.Publishing{
			MessageId: rand.Text(), ReplyTo: p.inbox, DeliveryMode: amqp091.Persistent, Body: body,
		})
		if err != nil {
			return err
		}
		if kept, err := confirmation.WaitContext(ctx); err != nil || !kept {
			return fmt.Errorf("kept by the broker: %t, %w", kept, err)
		}
	}
	return nil
}

// Receive implements transporttest.Peer.
func (p *peer) Receive() ([]byte, error) {
	select {
	case d, ok := <-p.replies:
		if !ok {
			return nil, errors.New("the connection has ended")
		}
		return d.Body, nil
	case <-time.After(transporttest.Patience):
		return nil, errors.New("no reply")
	}
}

// Close implements transporttest.Peer.
func (p *peer) Close() error { return p.conn.Close() }
