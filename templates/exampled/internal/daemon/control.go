package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/daemongen/daemongen/templates/exampled/internal/process"
)

// What can be asked for through the control socket.
const (
	askStatus = "status"
	askReload = "reload"
)

// Answer is what the daemon says to a command on the control socket.
type Answer struct {
	Code  int    `json:"code"` // exit code of the command
	Error string `json:"error,omitempty"`

	Restart []string `json:"restart,omitempty"` // keys that need one
	Status
}

// Err is the error that the daemon has answered with, or nil.
func (a Answer) Err() error {
	switch {
	case a.Code == 0:
		return nil
	case len(a.Restart) > 0:
		return &RestartError{a.Restart}
	}
	return errors.New(a.Error)
}

// answer carries out a command of the control socket.
func (s *service) answer(ctx context.Context, request process.ControlRequest) any {
	var err error
	switch request.Command {
	case askStatus:
	case askReload:
		err = s.requestReload(ctx, request.Configuration)
	default:
		err = fmt.Errorf("unknown command %q", request.Command)
	}
	answer := Answer{Code: ExitCode(err), Status: s.status()}
	if err != nil {
		answer.Error = err.Error()
	}
	if restart := (*RestartError)(nil); errors.As(err, &restart) {
		answer.Restart = restart.Keys
	}
	return answer
}

// requestReload has the main loop reload, once the service is ready.
func (s *service) requestReload(ctx context.Context, text []byte) error {
	select {
	case <-s.ready:
	case <-s.ended:
		return errors.New("the service is stopping")
	case <-ctx.Done():
		return ctx.Err()
	}
	request := reloadRequest{text, make(chan error, 1)}
	select {
	case s.reloads <- request:
		return <-request.reply
	case <-s.ended:
		return errors.New("the service is stopping")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// AskStatus asks the running daemon how it does. The error is
// process.ErrNoAnswer, or that of ctx.
func AskStatus(ctx context.Context, dirs process.Dirs) (Status, error) {
	var answer Answer
	err := process.Ask(ctx, dirs, process.ControlRequest{Command: askStatus}, &answer)
	return answer.Status, err
}

// AskReload has the running daemon reload, the text of its configuration if it
// is not nil, and returns what came of it. The error is as that of AskStatus.
func AskReload(ctx context.Context, dirs process.Dirs, text []byte) (Answer, error) {
	var answer Answer
	request := process.ControlRequest{Command: askReload, Configuration: text}
	err := process.Ask(ctx, dirs, request, &answer)
	return answer, err
}
