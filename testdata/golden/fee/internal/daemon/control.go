package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"example.com/fee/internal/process"
)

// What can be asked for through the control socket.
const (
	askStatus  = "status"
	askReload  = "reload"
	askReopen  = "reopen"
	askUpgrade = "upgrade"
	askDump    = "dump"
	askAdopt   = "adopt"  // take a pidfile in the place of the one that was removed
	askReplay  = "replay" // have dead letters tried again
)

// Answer is what the daemon says to a command on the control socket.
type Answer struct {
	Code  int    `json:"code"` // exit code of the command
	Error string `json:"error,omitempty"`

	Restart   []string `json:"restart,omitempty"`   // keys that need one
	Successor int      `json:"successor,omitempty"` // pid of the process that took over
	Stacks    []byte   `json:"stacks,omitempty"`    // of all goroutines
	Replay    *Replay  `json:"replay,omitempty"`
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

// request is something that the main loop is to do, since it may change what the
// service is.
type request struct {
	do    func() error
	reply chan error // has room for the answer
}

// answer carries out a command of the control socket.
func (s *service) answer(ctx context.Context, r process.ControlRequest) any {
	defer r.Close()
	var answer Answer
	var err error
	switch r.Command {
	case askStatus:
	case askReload:
		err = s.inLoop(ctx, func() error { return s.reload(r.Files) })
	case askReopen:
		err = s.inLoop(ctx, s.reopen)
	case askDump:
		answer.Stacks = stacks()
	case askUpgrade:
		answer.Successor, err = s.requestUpgrade(ctx, process.Program{Path: r.Program, File: r.File}, r.Files, r.Wait)
	case askAdopt:
		err = s.requestAdopt(ctx, r.File)
	case askReplay:
		answer.Replay, err = s.requestReplay(ctx, r.IDs, r.Wait)
	default:
		err = fmt.Errorf("unknown command %q", r.Command)
	}
	answer.Code, answer.Status = ExitCode(err), s.status()
	if err != nil {
		answer.Error = err.Error()
	}
	if restart := (*RestartError)(nil); errors.As(err, &restart) {
		answer.Restart = restart.Keys
	}
	return answer
}

var errStopping = errors.New("the service is stopping")

// inLoop has the main loop do something, once the service is ready.
func (s *service) inLoop(ctx context.Context, do func() error) error {
	select {
	case <-s.ready:
	case <-s.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
	r := request{do, make(chan error, 1)}
	select {
	case s.requests <- r:
		return <-r.reply
	case <-s.ended:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

// requestAdopt takes over a pidfile for the one that was removed.
func (s *service) requestAdopt(ctx context.Context, file *os.File) error {
	if file == nil {
		return errors.New("no file came with the request")
	}
	return s.inLoop(ctx, func() error {
		if s.pidfile.InPlace() {
			return errors.New("the pidfile is in its place")
		}
		err := s.pidfile.Adopt(file)
		s.log.Logger().Warn("the pidfile was removed, and is restored", "error", err)
		return err
	})
}

// stacks are those of all goroutines.
func stacks() []byte {
	const most = 64 << 20
	for size := 64 << 10; ; size *= 2 {
		text := make([]byte, size)
		if n := runtime.Stack(text, true); n < size || size >= most {
			return text[:n]
		}
	}
}

// AskStatus asks the running daemon how it does. The error is
// process.ErrNoAnswer, or that of ctx.
func AskStatus(ctx context.Context, dirs process.Dirs) (Status, error) {
	answer, err := ask(ctx, dirs, process.ControlRequest{Command: askStatus})
	return answer.Status, err
}

// AskReload has the running daemon reload, and returns what came of it. Where the
// daemon may not open its files, it goes on with those, by path. The error is as that
// of AskStatus.
func AskReload(ctx context.Context, dirs process.Dirs, files map[string]*os.File) (Answer, error) {
	return ask(ctx, dirs, process.ControlRequest{Command: askReload, Files: files})
}

// AskReopen has the running daemon open its log anew. The error is as that of
// AskStatus.
func AskReopen(ctx context.Context, dirs process.Dirs) (Answer, error) {
	return ask(ctx, dirs, process.ControlRequest{Command: askReopen})
}

// AskDump returns the stacks of all goroutines of the running daemon. The error
// is as that of AskStatus.
func AskDump(ctx context.Context, dirs process.Dirs) (Answer, error) {
	return ask(ctx, dirs, process.ControlRequest{Command: askDump})
}

// AskUpgrade has the running daemon start the program in its place, and returns
// when that is ready, or has failed within the time to wait. For the files and the
// error, see AskReload.
func AskUpgrade(ctx context.Context, dirs process.Dirs, to process.Program, files map[string]*os.File, wait time.Duration) (Answer, error) {
	return ask(ctx, dirs, process.ControlRequest{Command: askUpgrade, Program: to.Path, File: to.File, Files: files, Wait: wait})
}

// AskReplay has the running daemon try dead letters again, all of them if ids is
// empty, and returns when that is done, or the time to wait is over; 0 is for ever.
// When ctx ends, no more are begun with. The error is as that of AskStatus.
func AskReplay(ctx context.Context, dirs process.Dirs, ids []string, wait time.Duration) (Answer, error) {
	return ask(ctx, dirs, process.ControlRequest{Command: askReplay, IDs: ids, Wait: wait})
}

func ask(ctx context.Context, dirs process.Dirs, r process.ControlRequest) (answer Answer, err error) {
	err = process.Ask(ctx, dirs, r, &answer)
	return answer, err
}
