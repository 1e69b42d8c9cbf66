// Command amqpbyhand is what one writes by hand to take messages from a queue of
// RabbitMQ with the library alone: one consumer, the prefetch that is best for it,
// and an acknowledgement for each message once it is handled. The work is to count.
//
//	amqpbyhand URL QUEUE MESSAGES each|none
//
// With "each" it acknowledges each message, with "none" the broker is told that none
// is acknowledged: the most that can be delivered. It ends when it has had so many
// messages.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/rabbitmq/amqp091-go"
)

// prefetch is from where on a larger one makes it no faster.
const prefetch = 300

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if len(os.Args) != 5 {
		return errors.New("usage: amqpbyhand URL QUEUE MESSAGES each|none")
	}
	messages, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return err
	}
	acknowledges := os.Args[4] == "each"
	conn, err := amqp091.Dial(os.Args[1])
	if err != nil {
		return err
	}
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(os.Args[2], "", !acknowledges, false, false, false, nil)
	if err != nil {
		return err
	}
	for range messages {
		d, ok := <-deliveries
		if !ok {
			return errors.New("the connection is lost")
		}
		if !acknowledges {
			continue
		}
		if err := d.Ack(false); err != nil {
			return err
		}
	}
	if err := conn.Close(); err != nil {
		return err
	}
	fmt.Println(messages)
	return nil
}
