package main

// The handler of the probe, which does what a test asks of it, and a start that
// goes wrong as a test asks for it.

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/job/internal/config"
	"example.com/job/internal/database"
	"example.com/job/internal/worker"
)

// settings are none: the probe has no sections of its own.
type settings struct{}

func (*settings) Validate(func(key, reason string)) {}

func newSettings() config.Section { return &settings{} }

func handlerReload(worker.Handler) func(config.Section) error { return nil }

// newHandler behaves as the variable JOB_PROBE_INIT says.
func newHandler(*database.DB, config.Section) (worker.Handler, error) {
	switch os.Getenv("JOB_PROBE_INIT") {
	case "panic":
		panic("the probe was told to panic")
	case "exit":
		os.Exit(0)
	case "hang":
		select {}
	case "stopped": // go on once told to stop, which the service hears too
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		<-told
		time.Sleep(200 * time.Millisecond)
	}
	return obedient{}, nil
}

// obedient is a handler that does what it is told.
type obedient struct{}

// Handle carries out a line and answers with a Go string.
func (obedient) Handle(ctx context.Context, request []byte) ([]byte, error) {
	verb, rest, _ := strings.Cut(string(request), " ")
	answer, err := carryOut(ctx, verb, rest)
	return []byte(strconv.Quote(answer)), err
}

func carryOut(ctx context.Context, verb, rest string) (string, error) {
	switch verb {
	case "run": // a shell to its end: what it says, then how it ended
		out, err := exec.Command("sh", "-c", rest).CombinedOutput()
		return fmt.Sprint(string(out), err), nil
	case "spawn": // a program that goes on: its pid
		words := strings.Fields(rest)
		cmd := exec.Command(words[0], words[1:]...)
		if err := cmd.Start(); err != nil {
			return "", err
		}
		go func() { _ = cmd.Wait() }()
		return strconv.Itoa(cmd.Process.Pid), nil
	case "open": // a file, and leave it open
		file, err := os.OpenFile(rest, os.O_RDWR, 0)
		opened = append(opened, file)
		return fmt.Sprint(err), nil
	case "threads": // this many more threads
		n, err := strconv.Atoi(rest)
		for range n {
			started := make(chan struct{})
			go func() {
				runtime.LockOSThread()
				close(started)
				select {}
			}()
			<-started
		}
		return "done", err
	case "until": // a file is there, or the time is up
		for ctx.Err() == nil {
			if _, err := os.Stat(rest); err == nil {
				return "done", nil
			}
			time.Sleep(time.Millisecond)
		}
		return "", ctx.Err()
	case "hang": // whatever the context says
		select {}
	case "panic":
		panic("the probe was told to panic")
	}
	return "", fmt.Errorf("the probe does not know %q", verb)
}

// opened keeps what is open from being closed when it is collected.
var opened []*os.File
