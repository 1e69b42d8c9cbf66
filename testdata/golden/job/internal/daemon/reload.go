package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/job/internal/transport"
)

// reload brings the running service to the configuration as it is in the file
// now, all of it or nothing: first everything that can fail, then the swap,
// which can't. For what is offered, see take.
func (s *service) reload(offered offer) error {
	s.setState(Reloading)
	s.notifier.Reloading()
	defer func() { s.notifier.Ready(s.status().String()) }()
	err := s.tryReload(offered)
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

func (s *service) tryReload(offered offer) error {
	s.source.take(offered)
	to, err := s.source.read()
	if err != nil {
		return err
	}
	if err := s.configuration.requireReloadable(to, s.reloadHandler != nil); err != nil {
		return err
	}
	changes, err := s.prepareInTime(to)
	if err != nil {
		abort(changes)
		return err
	}
	for _, change := range changes {
		change.Commit()
	}
	s.set(func() {
		s.configuration = to
		s.generation++
	})
	if s.health != nil {
		s.health.check() // it may be another database, and time for it
	}
	return nil
}

func abort(changes []transport.Change) {
	for _, change := range slices.Backward(changes) {
		change.Abort()
	}
}

// reloadLimit is how long a reload may prepare: less than the command waits for
// the result.
const reloadLimit = 8 * time.Second

// prepareInTime is prepare, but gives up when that takes too long or the service
// is told to stop: a server that does not answer, or a handler, may hang.
func (s *service) prepareInTime(to *Configuration) ([]transport.Change, error) {
	ctx, cancel := context.WithTimeout(context.Background(), reloadLimit)
	defer cancel()
	type prepared struct {
		changes []transport.Change
		err     error
	}
	done := make(chan prepared, 1)
	from := s.configuration
	go func() {
		s.preparing.Lock() // what was given up may still be at it
		defer s.preparing.Unlock()
		changes, err := s.prepare(ctx, from, to)
		done <- prepared{changes, err}
	}()
	var err error
	select {
	case p := <-done:
		return p.changes, p.err
	case <-s.signals.Stop:
		s.stopping = true
		err = errors.New("the service is stopping")
	case <-ctx.Done():
		select {
		case p := <-done: // it knows what took so long
			return p.changes, p.err
		case <-time.After(giveBack):
			err = fmt.Errorf("the handler or another part did not answer within %s", reloadLimit)
		}
	}
	go func() {
		late := <-done
		s.preparing.Lock()
		defer s.preparing.Unlock()
		abort(late.changes)
	}()
	return nil, err
}

// prepare does everything of a reload that can fail. On an error it returns
// what it has prepared, to be aborted.
func (s *service) prepare(ctx context.Context, from, to *Configuration) (changes []transport.Change, err error) {
	commit, abort, err := s.log.Prepare(*to.Log, s.logFile(to))
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	changes = append(changes, transport.Change{Commit: commit, Abort: abort})
	if from.reopensDatabase(to) {
		change, err := s.reloadDatabase(ctx, to)
		if err != nil {
			return changes, err
		}
		changes = append(changes, change)
	}
	for _, name := range slices.Sorted(maps.Keys(s.transports)) {
		change, err := s.transports[name].Reload(to.Transports[name])
		if needs := (*transport.NeedsRestartError)(nil); errors.As(err, &needs) {
			s.log.Logger().Warn("not without a restart", "transport", name, "error", err)
			return changes, &RestartError{[]string{"transport." + name + "." + needs.Key}}
		}
		if err != nil {
			return changes, fmt.Errorf("transport.%s: %w", name, err)
		}
		changes = append(changes, change)
	}
	changes = append(changes, transport.Change{
		Commit: func() {
			if s.db != nil {
				s.db.Resize(to.Worker.Count)
			}
			s.pool.Configure(*to.Worker)
			s.letters.Configure(*to.Letters)
		},
		Abort: func() {},
	})
	// Last of all, because the handler makes its change at once.
	if s.reloadHandler == nil {
		return changes, ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return changes, err
	}
	if err := s.reloadHandler(to); err != nil {
		return changes, err
	}
	changes = append(changes, transport.Change{
		Commit: func() {},
		Abort: func() { // it took too long
			if err := s.reloadHandler(from); err != nil {
				s.log.Logger().Error("go back to the old settings", "error", err)
			}
		},
	})
	return changes, nil
}

// reloadDatabase opens another pool of connections. The handler keeps its
// database, and what is under way goes on with the old pool.
func (s *service) reloadDatabase(ctx context.Context, to *Configuration) (transport.Change, error) {
	fresh, _, err := s.opener(to).open(ctx)
	if err != nil {
		return transport.Change{}, err
	}
	closed := func(err error) {
		if err != nil {
			s.log.Logger().Error("close the old connections to the database", "error", err)
		}
	}
	return transport.Change{
		Commit: func() { s.db.Exchange(fresh, closed) },
		Abort:  func() { closed(fresh.Close()) },
	}, nil
}
