// Command bareloop is the least that answers lines over TCP: a goroutine for each
// connection, which answers each line and writes when no more are buffered. It has
// no queue, workers, limits or timeouts.
//
// It prints the address that it listens on, and serves until its standard input
// ends.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	go accept(listener)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn)
	}
}

func serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		if _, err := in.ReadSlice('\n'); err != nil {
			return
		}
		_, _ = out.WriteString("TRUE\n") // Flush has the error
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
