package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/feed/internal/process"
)

// upgradeWait is how long a successor may take to be ready, where nobody says.
const upgradeWait = 30 * time.Second

// upgrade is one that is under way: another process is being started, which
// shares the listening sockets, the lock and the control socket with this one.
type upgrade struct {
	cancel context.CancelFunc
	result chan upgradeResult
	reply  chan upgradeResult // has room; nil if nobody waits
}

type upgradeResult struct {
	successor *process.Successor
	err       error
}

// program is what this service was started from.
func (s *service) program() process.Program {
	return process.Program{Path: s.handover.Program}
}

// requestUpgrade has another process take over, and returns its pid once it has. For
// what is offered, see take.
func (s *service) requestUpgrade(ctx context.Context, to process.Program, offered offer, wait time.Duration) (pid int, err error) {
	if to.Path == "" {
		return 0, errors.New("no program was named")
	}
	if wait <= 0 {
		wait = upgradeWait
	}
	var under *upgrade
	err = s.inLoop(ctx, func() error {
		s.source.take(offered)
		if err := s.beginUpgrade(to, wait); err != nil {
			return err
		}
		under = s.upgrade
		return nil
	})
	if err != nil {
		return 0, err
	}
	result := <-under.reply
	if result.err != nil {
		return 0, result.err
	}
	return result.successor.PID, nil
}

// beginUpgrade starts the program; the main loop goes on.
func (s *service) beginUpgrade(to process.Program, wait time.Duration) error {
	if s.upgrade != nil {
		return errors.New("an upgrade is under way")
	}
	s.log.Logger().Info("upgrading", "program", to.Path)
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	s.upgrade = &upgrade{cancel, make(chan upgradeResult, 1), make(chan upgradeResult, 1)}
	left := process.Inheritance{
		Pidfile: s.pidfile, Control: s.control, Notifier: s.notifier, Sockets: s.sockets,
		Configuration: s.source.file, Secrets: s.source.secrets,
		Generation: s.generation + 1, Predecessors: s.predecessors,
	}
	environ := s.handover.Environ(s.parts.EnvPrefix(), s.configuration.Daemon.Environment)
	result := s.upgrade.result
	go func() {
		defer cancel()
		successor, err := s.handover.Upgrade(ctx, to, environ, left)
		if errors.Is(err, process.ErrNotReady) {
			err = fmt.Errorf("%s: %w (%s)", to.Path, err, wait)
		}
		result <- upgradeResult{successor, err}
	}()
	return nil
}

// endUpgrade takes note of what came of the upgrade, and reports whether the
// other process has taken over.
func (s *service) endUpgrade(result upgradeResult) bool {
	under := s.upgrade
	s.upgrade = nil
	if result.err != nil {
		// It may have got as far as to write its own.
		result.err = errors.Join(result.err, s.pidfile.Write())
		s.log.Logger().Error("upgrade failed, this process goes on", "error", result.err)
		under.reply <- result
		return false
	}
	// From here on commands reach the other process.
	_ = s.control.Retire()
	s.notifier.MainPID(result.successor.PID)
	s.successor = result.successor
	under.reply <- result
	return true
}

// cancelUpgrade gives up an upgrade that is under way, since this service is to
// stop; or, if it is too late for that, has the other process stop as well.
func (s *service) cancelUpgrade() error {
	if s.upgrade == nil {
		return nil
	}
	s.upgrade.cancel()
	if s.endUpgrade(<-s.upgrade.result) {
		return s.successor.Stop()
	}
	return nil
}
