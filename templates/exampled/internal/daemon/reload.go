package daemon

import (
	"fmt"
	"maps"
	"slices"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
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
