// Command edmbyhand is what one writes by hand for the tutorial's consumer of
// e-mails with the library alone: one consumer, the prefetch that is best for it, and
// for each message one line in a log file and then its acknowledgement.
//
//	edmbyhand URL LOG-FILE
//
// It takes from the queue email until its standard input ends.
package main

import (
	"errors"
	"io"
	"log"
	"os"

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
	if len(os.Args) != 3 {
		return errors.New("usage: edmbyhand URL LOG-FILE")
	}
	file, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	conn, err := amqp091.Dial(os.Args[1])
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = conn.Close()
	}()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume("email", "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	logger := log.New(file, "", log.LstdFlags)
	for d := range deliveries {
		logger.Printf("info\t%s", d.Body)
		if err := d.Ack(false); err != nil {
			return err
		}
	}
	return nil
}
