// Package daemon is the life of the service: it starts the parts in order,
// changes their configuration while they run, and ends them in reverse order.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/database"
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
	pidfile  *process.Pidfile // its lock is held until the process is gone
	file     *process.ConfigFile
	teardown teardown
	started  time.Time
	reloads  chan reloadRequest
	ready    chan struct{} // closed when ready
	ended    chan struct{} // closed when it begins to end
	failed   chan error    // a transport can't go on

	stopTaking context.CancelFunc // ends what serve began; nil before
	serving    sync.WaitGroup

	mu              sync.Mutex // guards what status shows
	state           State
	generation      int
	lastReloadError string
	configuration   *Configuration
	log             *logging.Log
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
		file:     h.ConfigFile(),
		started:  time.Now(),
		reloads:  make(chan reloadRequest),
		ready:    make(chan struct{}),
		ended:    make(chan struct{}),
		failed:   make(chan error, 1),
		state:    Starting,
	}
	readiness := h.Readiness()
	err := s.start()
	if err == nil {
		s.setState(Ready)
		close(s.ready)
		s.log.Logger().Info("ready", "pid", os.Getpid(), "version", parts.Version)
		if err := s.releaseStderr(); err != nil {
			s.log.Logger().Error("redirect standard error", "error", err)
		}
		// A starter that has gone has nobody waiting for the news.
		_ = readiness.Ready()
		err = s.loop()
	} else {
		defer func() { _ = readiness.Failed(err, ExitCode(err)) }()
	}
	s.setState(Draining)
	close(s.ended)
	s.end(err)
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

// claim makes this process known as the daemon.
func (s *service) claim() error {
	s.pidfile = s.handover.Pidfile()
	s.teardown.push("pidfile", func() error { return s.pidfile.Clear() })
	if err := s.pidfile.Write(); err != nil {
		return err
	}
	if err := process.NameProcess(s.parts.Name); err != nil {
		return err
	}
	control, err := s.handover.Control()
	if err != nil {
		return err
	}
	go control.Serve(s.answer)
	s.teardown.push("control socket", control.Close)
	return nil
}

// build makes the log, the database, the pool and the transports, and begins to
// serve.
func (s *service) build(ctx context.Context) error {
	c, err := s.readConfiguration()
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
	if _, warning, err := c.Daemon.identity(); err == nil && warning != "" {
		log.Logger().Warn(warning)
	}

	var db *database.DB
	if c.Database != nil {
		if db, err = s.openDatabase(ctx, c); err != nil {
			return fmt.Errorf("database.%s: %w", c.databaseName, err)
		}
	}
	pool := worker.New(s.parts.Handler(db), *c.Worker, log.Logger())
	s.teardown.push("workers", func() error { pool.Close(); return nil })
	s.set(func() { s.pool = pool })

	transports, err := s.openTransports(c)
	s.set(func() { s.transports = transports })
	if err != nil {
		return err
	}
	s.sockets.Close()
	s.serve()
	s.set(func() { s.generation = 1 })
	return nil
}

// readConfiguration reads the configuration as it is in the file now.
func (s *service) readConfiguration() (*Configuration, error) {
	text, err := s.file.Read(config.MaxFile)
	if err != nil {
		return nil, err
	}
	return LoadConfiguration(s.parts, s.handover.Config, text)
}

func (s *service) openDatabase(ctx context.Context, c *Configuration) (*database.DB, error) {
	db, err := c.Database.Open(ctx, database.Env{
		Name:     s.parts.Name,
		Log:      s.log.Logger().With("database", c.databaseName),
		StateDir: s.handover.Dirs.State,
		Workers:  c.Worker.Count,
	})
	if err != nil {
		return nil, err
	}
	s.teardown.push("database", db.Close)
	return db, nil
}

// openTransports makes every transport; on an error those that were made are in
// the result as well, and in the teardown.
func (s *service) openTransports(c *Configuration) (map[string]transport.Transport, error) {
	transports := make(map[string]transport.Transport)
	for name, section := range c.Transports {
		t, err := section.New(transport.Env{
			Log:    s.log.Logger().With("transport", name),
			Listen: s.sockets.Listen,
		})
		if err != nil {
			return transports, fmt.Errorf("transport.%s: %w", name, err)
		}
		s.teardown.push("transport "+name, t.Close)
		transports[name] = t
	}
	return transports, nil
}

// serve lets the transports take messages to the pool, until drain.
func (s *service) serve() {
	ctx, stopTaking := context.WithCancel(context.Background())
	s.stopTaking = stopTaking
	for name, t := range s.transports {
		s.serving.Go(func() {
			if err := t.Serve(ctx, s.pool); err != nil {
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

// drain stops taking messages and waits until the transports have got an answer
// to everything that they took. At the deadline, or on a second signal to stop,
// what is left is given back unhandled.
func (s *service) drain() {
	if s.stopTaking == nil {
		return
	}
	timeout, cancel := context.WithTimeout(context.Background(), time.Duration(s.configuration.Daemon.StopTimeout))
	defer cancel()
	s.stopTaking()
	served := make(chan struct{})
	go func() {
		// What rests until its next attempt has it now, or goes back.
		_ = s.pool.Drain(timeout)
		s.serving.Wait()
		close(served)
	}()
	select {
	case <-served:
		return
	case <-s.signals.Stop:
		s.log.Logger().Warn("told to stop at once", "unfinished", s.unfinished())
	case <-timeout.Done():
		s.log.Logger().Warn("the time to drain is over", "unfinished", s.unfinished())
	}
	s.pool.Close()
	// The transports give back what the pool has given up.
	select {
	case <-served:
	case <-time.After(giveBack):
	}
}

// giveBack is the time for the transports to tell their peers, after the
// deadline, that messages were not handled.
const giveBack = 200 * time.Millisecond

func (s *service) unfinished() int {
	stats := s.pool.Stats()
	return stats.Queued + stats.InFlight
}

// end drains the service, then undoes what was built.
func (s *service) end(cause error) {
	log := slog.New(slog.DiscardHandler)
	if s.log != nil {
		log = s.log.Logger()
	}
	if cause != nil {
		log.Error("stopping", "error", cause)
	} else {
		log.Info("stopping")
	}
	s.drain()
	s.teardown.run(log)
	s.sockets.Close()
}

// loop answers signals and requests until the service is to end.
func (s *service) loop() error {
	for {
		select {
		case <-s.signals.Stop:
			return nil
		case err := <-s.failed:
			return err
		case <-s.signals.Reopen:
			s.reopen()
		case <-s.signals.Reload:
			_ = s.reload(nil) // told of in the log
		case request := <-s.reloads:
			request.reply <- s.reload(request.text)
		}
	}
}

func (s *service) reopen() {
	if err := s.log.Reopen(); err != nil {
		s.log.Logger().Error("reopen the log", "error", err)
		return
	}
	s.log.Logger().Info("log reopened")
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
