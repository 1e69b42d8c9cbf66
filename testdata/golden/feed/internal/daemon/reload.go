package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"example.com/feed/internal/process"
	"example.com/feed/internal/transport"
)

// reloadRequest asks for a reload; reply has room for the answer.
type reloadRequest struct {
	text  []byte // of the configuration; nil: read the file
	reply chan error
}

// reload brings the running service to the configuration as it is in the file
// now, all of it or nothing: first everything that can fail, then the swap,
// which can't. The text, if it is not nil, is what the file holds.
func (s *service) reload(text []byte) error {
	s.setState(Reloading)
	err := s.tryReload(text)
	s.set(func() {
		s.state = Ready
		s.lastReloadError = ""
		if err != nil {
			s.lastReloadError = err.Error()
		}
	})
	if err != nil {
		s.log.Logger().Error("reload failed, the configuration stays as it was", "error", err)
	} else {
		s.log.Logger().Info("reloaded", "generation", s.generation)
	}
	return err
}

func (s *service) tryReload(text []byte) error {
	to, err := s.newConfiguration(text)
	if err != nil {
		return err
	}
	if err := s.configuration.requireReloadable(to); err != nil {
		return err
	}
	changes, err := s.prepare(to)
	if err != nil {
		for _, change := range slices.Backward(changes) {
			change.Abort()
		}
		return err
	}
	for _, change := range changes {
		change.Commit()
	}
	s.set(func() {
		s.configuration = to
		s.generation++
	})
	return nil
}

// newConfiguration is that of the text, or, if it is nil, of the file.
func (s *service) newConfiguration(text []byte) (*Configuration, error) {
	if text == nil {
		return s.readConfiguration()
	}
	return LoadConfiguration(s.parts, s.handover.Config, text)
}

// prepare does everything of a reload that can fail. On an error it returns
// what it has prepared, to be aborted.
func (s *service) prepare(to *Configuration) (changes []transport.Change, err error) {
	commit, abort, err := s.log.Prepare(*to.Log, s.logFile(to))
	if err != nil {
		return nil, err
	}
	changes = append(changes, transport.Change{Commit: commit, Abort: abort})
	for _, name := range slices.Sorted(maps.Keys(s.transports)) {
		change, err := s.transports[name].Reload(to.Transports[name])
		if err != nil {
			return changes, fmt.Errorf("transport.%s: %w", name, err)
		}
		changes = append(changes, change)
	}
	changes = append(changes, transport.Change{
		Commit: func() { s.pool.Configure(*to.Worker) },
		Abort:  func() {},
	})
	return changes, nil
}

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
	case "status":
	case "reload":
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
