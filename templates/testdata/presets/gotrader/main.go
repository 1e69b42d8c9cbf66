// Command gotrader is a REQ socket in Go that sends each of its arguments, and prints
// the answers:
//
//	gotrader ADDRESS REQUEST...
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-zeromq/zmq4"
)

func main() {
	if err := trade(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func trade(address string, requests []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	socket := zmq4.NewReq(ctx)
	defer func() { _ = socket.Close() }()
	if err := socket.Dial(address); err != nil {
		return err
	}
	for _, request := range requests {
		if err := socket.Send(zmq4.NewMsgString(request)); err != nil {
			return err
		}
		answer, err := socket.Recv()
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", answer.Bytes())
	}
	return nil
}
