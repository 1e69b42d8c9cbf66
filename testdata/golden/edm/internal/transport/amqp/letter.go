// Dead letters, as the broker keeps them.

package amqp

import (
	"maps"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// The headers of a dead letter, besides those that the message had.
const (
	headerReason     = "x-reason"               // why it failed for good, in words
	headerAttempts   = "x-attempts"             // int64: how often the handler had it, by this process
	headerDeliveries = "x-deliveries"           // int64: how often the broker delivered it, as far as its queue counts
	headerQueue      = "x-original-queue"       // from which it was delivered
	headerExchange   = "x-original-exchange"    // to which it was sent,
	headerRoutingKey = "x-original-routing-key" // with this key
)

// longestReason keeps the headers in one frame.
const longestReason = 4 << 10

// letter is the message as a dead letter: all that it was, and why it is one. Left
// out is what would have the broker do something: copies for others (CC, BCC), an
// expiry, and a user who is not ours.
func (m *message) letter(reason string, attempts int) amqp091.Publishing {
	d := &m.delivery
	headers := amqp091.Table{}
	maps.Copy(headers, d.Headers)
	for _, name := range []string{"CC", "BCC", deliveryCount} {
		delete(headers, name)
	}
	headers[headerReason] = strings.ToValidUTF8(reason[:min(len(reason), longestReason)], "")
	headers[headerAttempts] = int64(attempts)
	headers[headerDeliveries] = m.deliveries()
	headers[headerQueue] = m.consumer.queue
	headers[headerExchange] = d.Exchange
	headers[headerRoutingKey] = d.RoutingKey
	return amqp091.Publishing{
		Headers:         headers,
		ContentType:     d.ContentType,
		ContentEncoding: d.ContentEncoding,
		DeliveryMode:    amqp091.Persistent,
		Priority:        d.Priority,
		CorrelationId:   d.CorrelationId,
		ReplyTo:         d.ReplyTo,
		MessageId:       d.MessageId,
		Timestamp:       d.Timestamp,
		Type:            d.Type,
		AppId:           d.AppId,
		Body:            d.Body,
	}
}
