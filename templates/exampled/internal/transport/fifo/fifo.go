// Package fifo takes messages from a fifo, a named pipe (fifo(7)): a line is a
// message.
//
//	$ echo one >/var/lib/exampled/exampled.fifo
//
// Any number of writers may come and go. A line that is written in one go and has
// at most 4096 bytes (PIPE_BUF) is not mixed up with those of others. Nobody gets
// a reply; what fails for good is a dead letter.
//
// A writer is done when its line is in the pipe, which keeps 64 KiB; while the
// workers have no room nothing is read, and writers wait when it is full. When the
// service stops it reads what is in the pipe, and keeps in its state directory
// what can't be handled any more, until it runs again. What is in the pipe, or was
// read and not handled, when the process is killed is lost: there is nobody who
// could send it again.
package fifo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

// Transport serves the section [transport.fifo]. It implements
// transport.Transport.
type Transport struct {
	log      *slog.Logger
	stateDir string
	retired  chan struct{} // closed by Retire
	closed   chan struct{} // closed by Close
	failed   chan error    // gets why the present fifo can't be read

	mu       sync.Mutex
	settings *Config // what it points to is never written to
	state    state
	reader   *reader          // of the present path; nil when there is none any more
	open     map[*reader]bool // with those of earlier paths
	back     [][]byte         // given back, to be kept
	counts   counts
	ctx      context.Context // from serving on: ends when no more is to be taken
	queue    transport.Queue // from serving on

	reading sync.WaitGroup // readers that serve; added to only while serving
	pending sync.WaitGroup // messages that are not settled; added to only by readers
}

// counts are since the service has begun.
type counts struct{ taken, dropped uint64 }

// A Transport passes through its states in this order; it may leave some out.
type state int

const (
	opened state = iota
	serving
	retiring
	stopped
)

var _ transport.Transport = (*Transport)(nil)

// New implements transport.Config: it makes the fifo, and reads nothing yet.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	settings := *c
	t := &Transport{
		log:      env.Log,
		stateDir: env.StateDir,
		retired:  make(chan struct{}),
		closed:   make(chan struct{}),
		failed:   make(chan error, 1),
		settings: &settings,
		open:     make(map[*reader]bool),
	}
	r, err := t.openReader(&settings)
	if err != nil {
		return nil, err
	}
	t.reader = r
	t.open[r] = true
	return t, nil
}

// path is where the fifo is.
func (t *Transport) path(c *Config) string {
	if c.Path == "" {
		return filepath.Join(t.stateDir, "exampled.fifo")
	}
	return string(c.Path)
}

func (t *Transport) openReader(c *Config) (*reader, error) {
	p, err := openPipe(t.path(c), fs.FileMode(c.Mode))
	if err != nil {
		return nil, err
	}
	return &reader{t: t, pipe: p, ending: make(chan struct{})}, nil
}

// Serve implements transport.Transport.
func (t *Transport) Serve(ctx context.Context, queue transport.Queue) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	if !t.begin(ctx, queue) {
		return nil
	}
	var failure error
	select {
	case <-ctx.Done():
	case <-t.retired:
	case <-t.closed:
	case failure = <-t.failed:
	}
	t.leave(stopped)
	settled := make(chan struct{})
	go func() {
		t.reading.Wait()
		t.pending.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-t.closed:
	}
	_ = t.Close()
	return errors.Join(failure, t.keepRest())
}

// begin starts to read, unless the transport has ended already.
func (t *Transport) begin(ctx context.Context, queue transport.Queue) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != opened {
		return false
	}
	t.state, t.ctx, t.queue = serving, ctx, queue
	t.reading.Go(t.takeLeft)
	for r := range t.open {
		t.start(r)
	}
	return true
}

// start has a reader read. The caller holds t.mu.
func (t *Transport) start(r *reader) {
	ctx, queue := t.ctx, t.queue
	t.reading.Go(func() {
		r.serve(ctx, queue)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.close(r)
	})
}

// fail ends the service for a fifo that can't be read: a service that is deaf must
// not look healthy. What becomes of an earlier one is no more than logged.
func (t *Transport) fail(r *reader, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r != t.reader {
		t.log.Error("the fifo before this one can't be read", "error", err)
		return
	}
	select {
	case t.failed <- err:
	default:
	}
}

// close closes a reader. The caller holds t.mu.
func (t *Transport) close(r *reader) {
	if t.open[r] {
		delete(t.open, r)
		_ = r.pipe.Close()
	}
}

// keepRest keeps what was given back.
func (t *Transport) keepRest() error {
	t.mu.Lock()
	rest := t.back
	t.back = nil
	t.mu.Unlock()
	if err := keep(t.stateDir, rest); err != nil {
		return fmt.Errorf("%d lines that were read, and not handled, are lost: %w", len(rest), err)
	}
	if len(rest) > 0 {
		t.log.Info("lines that were not handled are kept for the next start", "lines", len(rest))
	}
	return nil
}

// Retire implements transport.Transport. What is in the pipe is the other
// process's, which has it open as well.
func (t *Transport) Retire() { t.leave(retiring) }

// leave has nothing more be read, for the state next.
func (t *Transport) leave(next state) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state >= retiring {
		t.state = max(t.state, next)
		return
	}
	close(t.retired)
	before := t.state
	t.state, t.reader = next, nil
	for r := range t.open {
		r.end(next == retiring)
		if before == opened { // nobody serves it
			t.close(r)
		}
	}
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.leave(stopped)
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
	default:
		close(t.closed)
	}
	for r := range t.open {
		t.close(r)
	}
	return nil
}

// Status implements transport.Transport.
func (t *Transport) Status() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	what := "stopped"
	switch {
	case t.reader != nil && !t.reader.pipe.isAt(t.reader.pipe.path):
		what = "the fifo " + t.reader.pipe.path + " was removed: restart the service"
	case t.reader != nil:
		what = "reading " + t.reader.pipe.path
	}
	return fmt.Sprintf("%s, %d lines, %d too long", what, t.counts.taken, t.counts.dropped)
}

// Reload implements transport.Transport. Another fifo is read as of Commit; what is
// in the one before is read as well.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(*Config)
	if !ok {
		return transport.Change{}, fmt.Errorf("reload of a fifo with a %T", to)
	}
	settings := *c
	t.mu.Lock()
	present := t.reader
	t.mu.Unlock()
	if present == nil {
		return transport.Change{}, transport.ErrStopped
	}
	var fresh *reader
	// One that was removed is made again.
	if path := t.path(&settings); path != present.pipe.path || !present.pipe.isAt(path) {
		var err error
		if fresh, err = t.openReader(&settings); err != nil {
			return transport.Change{}, err
		}
	}
	return transport.Change{
		Commit: func() { t.commit(&settings, fresh) },
		Abort: func() {
			if fresh != nil {
				_ = fresh.pipe.Close()
			}
		},
	}, nil
}

// commit makes the change; fresh is nil if the fifo stays.
func (t *Transport) commit(settings *Config, fresh *reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settings = settings
	switch {
	case fresh == nil && t.reader != nil:
		if err := t.reader.pipe.check(fs.FileMode(settings.Mode), false); err != nil {
			t.log.Warn("the mode of the fifo stays as it is", "error", err)
		}
	case fresh == nil:
	case t.state > serving:
		_ = fresh.pipe.Close()
	default:
		old := t.reader
		t.reader = fresh
		t.open[fresh] = true
		old.end(false)
		if t.state == serving {
			t.start(fresh)
		}
	}
}

// limit is the length of the longest line.
func (t *Transport) limit() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.settings.MaxMessage)
}
