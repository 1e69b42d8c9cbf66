// Package daemon is the life of the service: it starts the parts in order,
// changes their configuration while they run, and ends them in reverse order.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/database"
	"example.com/feed/internal/deadletters"
	"example.com/feed/internal/logging"
	"example.com/feed/internal/process"
	"example.com/feed/internal/transport"
	"example.com/feed/internal/worker"
)

// ErrStoppedWhileStarting means that the service was told to stop before it was
// ready.
var ErrStoppedWhileStarting = errors.New("stopped while starting")

// service is a running daemon.
type service struct {
	parts    Parts
	handover *process.Handover
	signals  process.Signals
	sockets  *process.Sockets
	pidfile  *process.Pidfile // its lock is held until the process is gone; for the main loop only
	control  *process.Control
	notifier *process.Notifier
	source   *source
	teardown teardown
	started  time.Time
	requests chan request
	reserve  []byte        // see there
	ready    chan struct{} // closed when ready
	ended    chan struct{} // closed when it begins to end
	failed   chan error    // a transport can't go on
	stopping bool          // told to stop while it reloaded

	db            *database.DB                 // nil: none
	reloadHandler func(c *Configuration) error // nil: it takes no part
	preparing     sync.Mutex                   // held while a reload is prepared, or given up
	replaying     sync.Mutex                   // held while dead letters are tried again

	// Of upgrades: the processes before this one that serve their last peers, and
	// the one after it.
	predecessors process.Children
	upgrade      *upgrade           // under way; nil: none
	successor    *process.Successor // has taken over

	missesPidfile bool // and can't restore it

	stopTaking context.CancelFunc // ends what serve began; nil before
	serving    sync.WaitGroup

	mu              sync.Mutex // guards what status shows
	state           State
	waitsFor        string // of a start, in words; "": nothing
	generation      int
	lastReloadError string
	configuration   *Configuration
	log             *logging.Log
	health          *monitor // of the database; nil: there is none, or not yet
	letters         *deadletters.Store
	pool            *worker.Pool
	transports      map[string]transport.Transport
}

// Run is the daemon: it takes over what h hands on, starts the service, tells
// the starter, and returns nil when the service has ended as it was told to.
// An error from before it was ready has been reported to the starter.
func Run(parts Parts, h *process.Handover, signals process.Signals) error {
	s := &service{
		parts:    parts,
		handover: h,
		signals:  signals,
		sockets:  process.NewSockets(h),
		source:   newSource(parts, h),
		started:  time.Now(),
		requests: make(chan request),
		reserve:  make([]byte, reserve),
		ready:    make(chan struct{}),
		ended:    make(chan struct{}),
		failed:   make(chan error, 1),
		state:    Starting,
	}
	readiness := h.Readiness()
	err := s.start()
	if err == nil {
		err = s.announce(readiness)
	}
	if err == nil {
		err = s.loop()
	} else {
		defer func() { _ = readiness.Failed(err, ExitCode(err)) }()
	}
	s.setState(Draining)
	close(s.ended)
	s.end(err)
	if s.successor != nil && h.StaysWhenReplaced(s.notifier) {
		return h.StandIn(signals)
	}
	return err
}

// start builds the parts in order; what it has built is in the teardown.
func (s *service) start() error {
	syscall.Umask(s.handover.Umask)
	if err := s.claim(); err != nil {
		return err
	}
	// A signal to stop ends whatever the start is waiting for.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	built := make(chan struct{})
	go func() {
		defer close(built)
		err = s.build(ctx)
	}()
	select {
	case <-built:
		return err
	case <-s.signals.Stop:
		cancel()
		<-built
		return ErrStoppedWhileStarting
	}
}

// claim makes sure of what this process is, and makes it known as the daemon; if
// it is to take over from another one, that comes when it is ready.
func (s *service) claim() (err error) {
	s.pidfile = s.handover.Pidfile()
	s.teardown.push("pidfile", s.releasePidfile)
	s.predecessors = s.handover.OpenPredecessors(s.pidfile)
	if err := s.handover.Verify(); err != nil {
		return err
	}
	if s.notifier, err = s.handover.Notifier(); err != nil {
		return err
	}
	if s.control, err = s.handover.Control(); err != nil {
		return err
	}
	s.teardown.push("control socket", s.control.Close)
	if err := s.keepJobs(); err != nil {
		return err
	}
	if s.handover.Upgraded {
		return nil
	}
	s.control.Serve(s.answer)
	return s.pidfile.Write()
}

// keepJobs sees to it that what a job starts ends with the service.
func (s *service) keepJobs() error {
	release := func() {}
	if s.handover.OwnsGroup() {
		var err error
		if release, err = process.KillGroupAtDeath(); err != nil {
			return err
		}
	}
	s.teardown.push("programs of jobs", func() error {
		var others []int
		if s.successor != nil {
			others = append(others, s.successor.PID)
		}
		s.handover.EndChildren(jobGrace, others...)
		release()
		return nil
	})
	return nil
}

// jobGrace is the time that a program which a job has left behind has to end,
// after TERM.
const jobGrace = time.Second

// releasePidfile says that nobody is the daemon any more, and that none has
// crashed; unless another process is the daemon.
func (s *service) releasePidfile() error {
	select {
	case <-s.ready:
	default:
		if s.handover.Upgraded {
			return s.pidfile.Close()
		}
	}
	if s.successor != nil {
		return s.pidfile.Close()
	}
	return s.pidfile.Clear()
}

// announce makes the service, which serves already, known as ready.
func (s *service) announce(readiness *process.Readiness) error {
	if s.handover.Upgraded {
		if err := s.pidfile.Write(); err != nil {
			return err
		}
	}
	s.setState(Ready)
	close(s.ready)
	s.log.Logger().Info("ready", "pid", os.Getpid(), "version", s.parts.Version)
	if err := s.releaseStderr(); err != nil {
		s.log.Logger().Error("redirect standard error", "error", err)
	}
	// A starter that has gone has nobody waiting for the news.
	_ = readiness.Ready()
	if s.handover.Upgraded {
		s.control.Serve(s.answer)
	}
	s.notifier.Ready(s.status().String())
	go s.signOfLife()
	return nil
}

// signOfLife tells the supervisor that the service lives, as often as it wants
// to know, for as long as the pool gets on with its work: one that hangs is to be
// restarted.
func (s *service) signOfLife() {
	if s.handover.Watchdog == 0 || s.notifier == nil {
		return
	}
	for {
		if s.pool.Stalled() {
			s.log.Logger().Error("the workers are stalled, the watchdog is left without a sign of life")
		} else {
			s.notifier.Alive()
		}
		time.Sleep(s.handover.Watchdog / 3)
	}
}

// build makes the log, the database, the pool and the transports, and begins to
// serve.
func (s *service) build(ctx context.Context) error {
	c, err := s.source.read()
	if err != nil {
		return err
	}
	log, err := logging.Open(*c.Log, s.logFile(c))
	if err != nil {
		return err
	}
	s.teardown.push("log", func() error {
		log.Logger().Info("stopped")
		return log.Close()
	})
	s.set(func() { s.configuration, s.log = c, log })
	slog.SetDefault(log.Logger()) // for the handler
	if _, warning, err := c.Daemon.identity(); err == nil && warning != "" {
		log.Logger().Warn(warning)
	}

	if err := s.openLetters(c); err != nil {
		return err
	}
	if c.Database != nil {
		db, err := s.openAtStart(ctx, c)
		if err != nil {
			return err
		}
		s.teardown.push("database", db.Close)
		s.monitorDatabase(db)
	}
	if err := s.startWorkers(c); err != nil {
		return err
	}
	transports, err := s.openTransports(ctx, c)
	s.set(func() { s.transports = transports })
	if err != nil {
		return err
	}
	for _, name := range s.sockets.Close() {
		log.Logger().Warn("a socket that the supervisor passed is not used: no transport listens on its address, or has its name", "name", name)
	}
	s.serve()
	s.set(func() { s.generation = max(1, s.handover.Generation) })
	return nil
}

// startWorkers makes the handler and the pool that hands messages to it.
func (s *service) startWorkers(c *Configuration) error {
	handler, err := s.makeHandler(c)
	if err != nil {
		return err
	}
	journal, err := s.openJournal(c)
	if err != nil {
		return err
	}
	pool := worker.New(handler, *c.Worker, worker.Options{
		Log:         s.log.Logger(),
		Classify:    s.classify,
		DeadLetters: s.letters,
		Attempts:    journal,
	})
	s.teardown.push("workers", func() error { pool.Close(); return nil })
	s.set(func() { s.pool = pool })
	return nil
}

// classify tells the workers what an error of the handler means, if it is one of
// the database.
func (s *service) classify(err error) worker.Class {
	if s.db == nil {
		return worker.Retry
	}
	switch s.db.Classify(err) {
	case database.Permanent:
		return worker.Permanent
	case database.Unavailable:
		s.health.unavailable()
		return worker.Unavailable
	}
	return worker.Retry
}

// openJournal opens what tells the next process which messages this one ended
// with; nil if no transport would deliver them again.
func (s *service) openJournal(c *Configuration) (*worker.Journal, error) {
	if !c.redelivers() {
		return nil, nil
	}
	journal, err := worker.OpenJournal(filepath.Join(s.handover.Dirs.State, "attempts"))
	if err != nil {
		return nil, err
	}
	s.teardown.push("journal of attempts", journal.Close)
	return journal, nil
}

// serve lets the transports take messages to the pool, until drain.
func (s *service) serve() {
	ctx, stopTaking := context.WithCancel(context.Background())
	s.stopTaking = stopTaking
	for name, t := range s.transports {
		s.serving.Go(func() {
			if err := t.Serve(ctx, s.pool.For(name)); err != nil {
				s.fail(fmt.Errorf("transport.%s: %w", name, err))
			}
		})
	}
}

// fail ends the service because of a part that can't go on; the first counts.
func (s *service) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// loop answers signals and requests until the service is to end.
func (s *service) loop() error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		// While an upgrade is under way, what could change the service waits.
		requests, reload, upgraded := s.requests, s.signals.Reload, chan upgradeResult(nil)
		if s.upgrade != nil {
			requests, reload, upgraded = nil, nil, s.upgrade.result
		}
		select {
		case <-s.signals.Stop:
			return s.cancelUpgrade()
		case err := <-s.failed:
			return errors.Join(err, s.cancelUpgrade())
		case <-s.signals.Reopen:
			_ = s.reopen() // told of in the log
		case <-reload:
			_ = s.reload(nil) // likewise
		case r := <-requests:
			r.reply <- r.do()
		case <-s.signals.Upgrade:
			_ = s.beginUpgrade(s.program(), upgradeWait) // likewise
		case result := <-upgraded:
			if s.endUpgrade(result) {
				return nil
			}
		case <-second.C:
			s.keepHouse()
		}
		if s.stopping {
			return nil
		}
	}
}

// keepHouse is what there is to see to now and then.
func (s *service) keepHouse() {
	process.Reap()
	if s.pidfile.InPlace() {
		return
	}
	if err := s.pidfile.Restore(); err != nil {
		if !s.missesPidfile {
			s.log.Logger().Warn("the pidfile was removed, the next command of its owner restores it", "error", err)
		}
		s.missesPidfile = true
		return
	}
	s.missesPidfile = false
	s.log.Logger().Warn("the pidfile was removed, and is restored")
}

func (s *service) reopen() error {
	s.signalPredecessors(syscall.SIGUSR1)
	if err := s.log.Reopen(); err != nil {
		s.log.Logger().Error("reopen the log", "error", err)
		return fmt.Errorf("reopen the log: %w", err)
	}
	s.log.Logger().Info("log reopened")
	return nil
}

// logFile is where to log to; "" is standard error.
func (s *service) logFile(c *Configuration) string {
	if s.handover.Stage == process.Foreground {
		return ""
	}
	if c.Log.File != "" {
		return string(c.Log.File)
	}
	return s.handover.Dirs.LogFile()
}

// releaseStderr lets go of the starter's pipe: what the runtime says of a crash
// goes to the log from now on, also after the log was reopened.
func (s *service) releaseStderr() error {
	if s.handover.Stage == process.Foreground {
		return nil
	}
	s.log.OnReopen(func(file *os.File) {
		if err := process.RedirectStderr(file); err != nil {
			s.log.Logger().Error("redirect standard error", "error", err)
		}
	})
	return process.RedirectStderr(s.log.File())
}

func (s *service) setState(state State) { s.set(func() { s.state = state }) }

// set changes what status shows.
func (s *service) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// ExitCode is the exit code of a command for what the service could not do: 6
// if its configuration is invalid, 152 if it would have to be restarted, else 1.
func ExitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(config.Problems)):
		return 6
	case errors.As(err, new(*RestartError)):
		return 152
	}
	return 1
}
