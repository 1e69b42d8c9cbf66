package daemon

import (
	"context"
	"log/slog"
	"syscall"
	"time"
)

// giveBack is the time for the transports to tell their peers, after the
// deadline, that messages were not handled.
const giveBack = 200 * time.Millisecond

// end drains the service, then undoes what was built.
func (s *service) end(cause error) {
	log := slog.New(slog.DiscardHandler)
	if s.log != nil {
		log = s.log.Logger()
	}
	switch {
	case s.successor != nil:
		log.Info("replaced, serving the peers that are there", "successor", s.successor.PID)
		s.retire()
	case cause != nil:
		log.Error("stopping", "error", cause)
	default:
		log.Info("stopping")
	}
	s.drain()
	s.teardown.run(log)
	s.sockets.Close()
}

// retire serves the peers that are there, and no others, until they have gone,
// the time for it is over, or there is a signal to stop. Another process is the
// daemon by now.
func (s *service) retire() {
	for _, t := range s.transports {
		t.Retire()
	}
	gone := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(gone)
	}()
	timeout := time.NewTimer(time.Duration(s.configuration.Daemon.UpgradeTimeout))
	defer timeout.Stop()
	for {
		select {
		case <-gone:
			return
		case <-timeout.C:
			s.log.Logger().Warn("peers stayed longer than upgrade_timeout")
			return
		case <-s.signals.Stop:
			return
		case <-s.signals.Reopen:
			_ = s.reopen() // told of in the log
		}
	}
}

// drain stops taking messages and waits until the transports have got an answer
// to everything that they took, and until the processes before this one have
// done the same. At the deadline, or on a second signal to stop, what is left is
// given back unhandled.
func (s *service) drain() {
	if s.stopTaking == nil {
		return
	}
	timeout, cancel := context.WithTimeout(context.Background(), time.Duration(s.configuration.Daemon.StopTimeout))
	defer cancel()
	if s.successor == nil {
		s.notifier.Stopping()
		s.signalPredecessors(syscall.SIGTERM)
		defer s.endPredecessors(timeout)
	}
	s.stopTaking()
	served := make(chan struct{})
	go func() {
		// What rests until its next attempt has it now, or goes back.
		_ = s.pool.Drain(timeout)
		s.serving.Wait()
		close(served)
	}()
	if s.awaitDrain(timeout, served) {
		return
	}
	s.pool.Close()
	// The transports give back what the pool has given up.
	select {
	case <-served:
	case <-time.After(giveBack):
	}
}

// awaitDrain returns true when all is served, or false when there is no more
// time. Meanwhile it asks the supervisor to wait.
func (s *service) awaitDrain(timeout context.Context, served <-chan struct{}) bool {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		s.extend()
		select {
		case <-served:
			return true
		case <-s.signals.Stop:
			s.log.Logger().Warn("told to stop at once", "unfinished", s.unfinished())
			s.signalPredecessors(syscall.SIGTERM)
			return false
		case <-timeout.Done():
			s.log.Logger().Warn("the time to drain is over", "unfinished", s.unfinished())
			return false
		case <-second.C:
		}
	}
}

// enoughTime is what the supervisor is asked for every second while something
// takes long.
const enoughTime = 5 * time.Second

// extend asks the supervisor for time, which it gives in small parts: a service
// that hangs in its drain gets no more.
func (s *service) extend() {
	if s.successor == nil {
		s.notifier.Extend(enoughTime)
	}
}

func (s *service) unfinished() int {
	stats := s.pool.Stats()
	return stats.Queued + stats.InFlight
}

func (s *service) signalPredecessors(signal syscall.Signal) {
	for _, p := range s.pidfile.Draining(s.predecessors) {
		_ = p.Signal(signal)
	}
}

// endPredecessors returns when the processes before this one, which drain as
// well, have ended: by themselves before ctx ends, or not.
func (s *service) endPredecessors(ctx context.Context) {
	defer s.awaitPredecessors()
	for draining := s.pidfile.Draining(s.predecessors); len(draining) > 0; draining = s.pidfile.Draining(draining) {
		select {
		case <-time.After(5 * time.Millisecond):
			continue
		case <-ctx.Done():
		}
		for _, p := range draining {
			s.log.Logger().Warn("a process from before the upgrade is killed", "pid", p.PID)
			_ = p.Signal(syscall.SIGKILL)
		}
		return
	}
}

// awaitPredecessors waits for the last moment of those that have released the lock:
// who asked for the stop is not to find one there. One that stands in stays.
func (s *service) awaitPredecessors() {
	if s.handover.Kept {
		return
	}
	moment, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, p := range s.predecessors {
		_ = p.Wait(moment)
	}
}
