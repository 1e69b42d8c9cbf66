// Command bare does the least that a program in Go has to do to become a
// daemon, and prints its pid when that is ready: it runs itself to lead a new
// session, which runs itself to be the daemon, which listens and says so through
// a pipe. It keeps no promise that a daemon should keep.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"
)

func main() {
	err := fmt.Errorf("called as %q", os.Args)
	switch {
	case len(os.Args) == 1:
		err = command()
	case os.Args[1] == "leader":
		err = spawn("daemon", os.NewFile(3, "pipe"), false)
	case os.Args[1] == "daemon":
		err = daemon(os.NewFile(3, "pipe"))
	}
	if err != nil {
		log.Fatal(err)
	}
}

func command() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	if err := spawn("leader", write, true); err != nil {
		return err
	}
	if err := write.Close(); err != nil {
		return err
	}
	pid, err := io.ReadAll(read)
	if err == nil {
		_, err = os.Stdout.Write(pid)
	}
	return err
}

// daemon lasts for a minute, unless it is killed.
func daemon(pipe *os.File) error {
	if _, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(pipe, os.Getpid()); err != nil {
		return err
	}
	if err := pipe.Close(); err != nil {
		return err
	}
	time.Sleep(time.Minute)
	return nil
}
