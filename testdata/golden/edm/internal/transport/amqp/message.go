// What the workers get.

package amqp

import (
	"context"
	"errors"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"example.com/edm/internal/config"
	"example.com/edm/internal/transport"
)

// The kinds of keys that worker.ordered_by can name.
const (
	byRoutingKey    = "routing_key"
	byCorrelationID = "correlation_id"
	byHeader        = "header"
)

// deliveryCount is the header in which a quorum queue says how often a message was
// given back before.
const deliveryCount = "x-delivery-count"

// message is a delivery on its way.
type message struct {
	consumer *consumer
	delivery amqp091.Delivery
	tag      uint64

	// Guarded by the mutex of the consumer's acks.
	outcome       outcome
	before, after *message
}

var (
	_ transport.Keyed       = (*message)(nil)
	_ transport.Redelivered = (*message)(nil)
	_ transport.Refused     = (*message)(nil)
	_ transport.Burying     = (*message)(nil)
)

// Body implements transport.Message.
func (m *message) Body() []byte { return m.delivery.Body }

// Settle implements transport.Message. A reply is sent to who has asked for one;
// nobody waits for it here.
func (m *message) Settle(body []byte, err error) {
	if errors.Is(err, transport.ErrStopped) {
		m.consumer.acks.settle(m, back)
		return
	}
	if m.delivery.ReplyTo != "" {
		m.consumer.session.transport.replier.send(reply{
			to:            m.delivery.ReplyTo,
			correlationID: m.delivery.CorrelationId,
			contentType:   m.delivery.ContentType,
			body:          body,
		})
	}
	m.consumer.acks.settle(m, done)
}

// Key implements transport.Keyed.
func (m *message) Key(of string) (key string, ok bool) {
	switch of {
	case byRoutingKey:
		key = m.delivery.RoutingKey
	case byCorrelationID:
		key = m.delivery.CorrelationId
	case byHeader:
		value, found := m.delivery.Headers[m.consumer.session.transport.settings.Load().OrderHeader]
		if !found || value == nil {
			return "", false
		}
		key = fmt.Sprint(value)
	default:
		return "", false
	}
	return "amqp " + key, key != ""
}

// ID implements transport.Identified: it is that which the sender gave.
func (m *message) ID() string { return m.delivery.MessageId }

// Redelivered implements transport.Redelivered.
func (m *message) Redelivered() bool { return m.delivery.Redelivered || m.deliveries() > 1 }

// deliveries is how often the message was delivered, this time included, as far as
// its queue counts that.
func (m *message) deliveries() int64 {
	switch n := m.delivery.Headers[deliveryCount].(type) {
	case int64:
		return n + 1
	case int32:
		return int64(n) + 1
	case int16:
		return int64(n) + 1
	case byte:
		return int64(n) + 1
	case int8:
		return int64(n) + 1
	}
	return 1
}

// Refused implements transport.Refused.
func (m *message) Refused() error {
	limit := m.consumer.session.transport.settings.Load().MaxMessage
	if size := config.Size(len(m.delivery.Body)); size > limit {
		return fmt.Errorf("the message is larger than max_message: %d bytes, and %d are the limit", size, limit)
	}
	return nil
}

// Bury implements transport.Burying. A message whose connection is lost is in its
// queue again, and comes back from there: that is no place for it to be in twice.
func (m *message) Bury(ctx context.Context, reason string, attempts int) (kept bool, err error) {
	s := m.consumer.session
	if s.config.DeadLetterExchange == "" {
		return false, nil
	}
	if s.isLost() {
		return true, nil
	}
	return true, s.transport.publisher.publishLetter(ctx, s.config.DeadLetterExchange, m.delivery.RoutingKey, m.letter(reason, attempts))
}
