// Exchanges, queues and what binds them.

package amqp

import (
	"errors"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// settle makes what messages come from and go to, or, in the passive mode, makes
// sure that it is there. The channel is of no use after an error, which says what
// it is about and what can be done.
func (c *Config) settle(ch *amqp091.Channel) error {
	if !c.Declare {
		return c.lookUp(ch)
	}
	if c.Exchange != "" {
		if err := ch.ExchangeDeclare(c.Exchange, c.ExchangeType, c.ExchangeDurable, false, false, false, nil); err != nil {
			return declareError("exchange", c.Exchange, err)
		}
	}
	if err := c.declareDeadLetters(ch); err != nil {
		return err
	}
	for _, name := range c.queues() {
		if err := declareQueue(ch, name, c.arguments()); err != nil {
			return err
		}
		if c.Exchange == "" {
			continue
		}
		keys := c.Queues[name]
		if len(keys) == 0 {
			keys = []string{name}
		}
		for _, key := range keys {
			if err := bind(ch, name, key, c.Exchange); err != nil {
				return err
			}
		}
	}
	return nil
}

// arguments are those of the queues that are consumed. What the broker itself
// takes out of them, as it was delivered too often, goes where our dead letters
// go. A limit without such a place would have it thrown away.
func (c *Config) arguments() amqp091.Table {
	arguments := amqp091.Table{amqp091.QueueTypeArg: c.QueueType}
	if c.DeadLetterExchange == "" {
		return arguments
	}
	arguments["x-dead-letter-exchange"] = c.DeadLetterExchange
	if c.QueueType == amqp091.QueueTypeQuorum && c.DeliveryLimit > 0 {
		arguments["x-delivery-limit"] = int32(c.DeliveryLimit)
	}
	return arguments
}

// declareDeadLetters makes an exchange that takes messages of any routing key to
// its queue.
func (c *Config) declareDeadLetters(ch *amqp091.Channel) error {
	if c.DeadLetterExchange == "" {
		return nil
	}
	if err := ch.ExchangeDeclare(c.DeadLetterExchange, amqp091.ExchangeFanout, true, false, false, false, nil); err != nil {
		return declareError("exchange", c.DeadLetterExchange, err)
	}
	if err := declareQueue(ch, c.DeadLetterQueue, amqp091.Table{amqp091.QueueTypeArg: c.QueueType}); err != nil {
		return err
	}
	return bind(ch, c.DeadLetterQueue, "", c.DeadLetterExchange)
}

func declareQueue(ch *amqp091.Channel, name string, arguments amqp091.Table) error {
	_, err := ch.QueueDeclare(name, true, false, false, false, arguments)
	return declareError("queue", name, err)
}

func bind(ch *amqp091.Channel, queue, key, exchange string) error {
	if err := ch.QueueBind(queue, key, exchange, false, nil); err != nil {
		return fmt.Errorf("bind queue %q to exchange %q: %w", queue, exchange, err)
	}
	return nil
}

// declareError says what to do about something that is there, and is not as it is
// to be: the broker changes nothing of what exists.
func declareError(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*amqp091.Error](err); ok && answer.Code == amqp091.PreconditionFailed {
		return fmt.Errorf("%s %q exists with other properties: delete it, or set declare = false to use it as it is: %w", kind, name, err)
	}
	return fmt.Errorf("declare %s %q: %w", kind, name, err)
}

// lookUp makes sure that exchanges and queues are there. The exchange that
// messages come from is the business of those who send them.
func (c *Config) lookUp(ch *amqp091.Channel) error {
	for _, name := range c.queues() {
		if _, err := ch.QueueDeclarePassive(name, true, false, false, false, nil); err != nil {
			return lookUpError("queue", name, err)
		}
	}
	if c.DeadLetterExchange == "" {
		return nil
	}
	err := ch.ExchangeDeclarePassive(c.DeadLetterExchange, amqp091.ExchangeFanout, true, false, false, false, nil)
	return lookUpError("dead-letter exchange", c.DeadLetterExchange, err)
}

func lookUpError(kind, name string, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*amqp091.Error](err); ok && answer.Code == amqp091.NotFound {
		return fmt.Errorf("%s %q is not there: make it, or set declare = true: %w", kind, name, err)
	}
	return fmt.Errorf("look up %s %q: %w", kind, name, err)
}
