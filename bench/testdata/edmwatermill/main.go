// Command edmwatermill is the tutorial's consumer of e-mails on the router of
// Watermill: for each message one line in a log file, and then the acknowledgement
// that the router sends.
//
//	edmwatermill URL LOG-FILE
//
// It takes from the queue email until its standard input ends.
//
// It is a module of its own, since daemongen and what it writes do without Watermill.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
)

// With these it is fastest: a handler has one message at a time, so there are several
// on the queue.
const (
	prefetch = 300
	handlers = 4
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("usage: edmwatermill URL LOG-FILE")
	}
	file, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	logger := log.New(file, "", log.LstdFlags)
	config := amqp.NewDurableQueueConfig(os.Args[1])
	config.Consume.Qos.PrefetchCount = prefetch
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	subscriber, err := amqp.NewSubscriber(config, watermill.NopLogger{})
	if err != nil {
		return err
	}
	for i := range handlers {
		router.AddConsumerHandler(fmt.Sprint("log-", i), "email", subscriber, func(m *message.Message) error {
			logger.Printf("info\t%s", m.Payload)
			return nil
		})
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = router.Close()
	}()
	return router.Run(context.Background())
}
