// Command amqpbyhand is what one writes by hand to take messages from a queue of
// RabbitMQ with the library alone: one consumer, the prefetch that is best for it,
// and an acknowledgement for each message once it is handled. The work is to count.
//
//	amqpbyhand URL QUEUE MESSAGES each|many|none
//
// With "each" it acknowledges each message, and with "many" 500 of them at once: the
// most that a broker delivers to one who acknowledges. With "none" the broker is told
// that none is acknowledged. It ends when it has had so many messages.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/rabbitmq/amqp091-go"
)

const (
	// prefetch is from where on a larger one makes it no faster.
	prefetch = 300

	// together is how many messages are acknowledged at once, and then as many more are
	// on their way.
	together = 500
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if len(os.Args) != 5 {
		return errors.New("usage: amqpbyhand URL QUEUE MESSAGES each|many|none")
	}
	messages, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return err
	}
	each, many := os.Args[4] == "each", os.Args[4] == "many"
	conn, err := amqp091.Dial(os.Args[1])
	if err != nil {
		return err
	}
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	ahead := prefetch
	if many {
		ahead = 2 * together
	}
	if err := channel.Qos(ahead, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(os.Args[2], "", !each && !many, false, false, false, nil)
	if err != nil {
		return err
	}
	for n := range messages {
		d, ok := <-deliveries
		if !ok {
			return errors.New("the connection is lost")
		}
		if each || many && ((n+1)%together == 0 || n+1 == messages) {
			if err := d.Ack(many); err != nil {
				return err
			}
		}
	}
	if err := conn.Close(); err != nil {
		return err
	}
	fmt.Println(messages)
	return nil
}
