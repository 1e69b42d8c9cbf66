// Package timer is the job without a peer: it hands the handler a message at set
// times, every so often or as a cron expression says.
//
// One run follows the other: none begins before the one before it is done, tried
// again by the workers as any message is, or has failed for good. Times that pass
// meanwhile are missed; how many is logged when the next run begins. After a run
// that failed for good the next waits for a pause, which doubles with each
// further failure. A run that failed is no dead letter, since the next one does
// the work. What the service missed while it did not run, it does not know.
//
// In an upgrade the process that is replaced finishes its run, and the other, which
// has its own schedule already, waits for that; with every, the schedule begins anew.
package timer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/logging"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

// Transport serves the section [transport.timer]. It implements
// transport.Transport.
type Transport struct {
	log      *slog.Logger
	stateDir string         // "": there is none
	unlocked logging.Seldom // logs that there is no lock

	ended   chan struct{} // no more runs; closed by Retire and Close
	dropped chan struct{} // wait for nothing; closed by Close
	changed chan struct{} // another configuration; has room for one

	mu     sync.Mutex
	config *Config // what it points to is never written to
	times  schedule
	served bool
	over   bool      // ended is closed
	closed bool      // dropped is closed
	next   time.Time // when the next run is due; zero: none is
	begun  time.Time // when the present run began; zero: there is none
	stats  stats
}

// stats count since the service has begun.
type stats struct{ runs, failed, missed uint64 }

var _ transport.Transport = (*Transport)(nil)

// New implements transport.Config.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	settings := *c
	times, err := newSchedule(&settings, time.Now())
	if err != nil {
		return nil, err
	}
	return &Transport{
		log:      env.Log,
		stateDir: env.StateDir,
		ended:    make(chan struct{}),
		dropped:  make(chan struct{}),
		changed:  make(chan struct{}, 1),
		config:   &settings,
		times:    times,
	}, nil
}

// Serve implements transport.Transport.
func (t *Transport) Serve(ctx context.Context, queue transport.Queue) error {
	if !t.begin() {
		return nil
	}
	(&loop{Transport: t, queue: queue}).run(ctx)
	return nil
}

// begin sets the first run, unless there is to be none.
func (t *Transport) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.served {
		return false
	}
	t.served = true
	if now := time.Now(); t.config.AtStart {
		t.next = now
	} else {
		t.next = t.times.after(now)
	}
	return true
}

// Reload implements transport.Transport.
func (t *Transport) Reload(to transport.Config) (transport.Change, error) {
	c, ok := to.(*Config)
	if !ok {
		return transport.Change{}, fmt.Errorf("reload of a timer with a %T", to)
	}
	settings := *c
	times, err := newSchedule(&settings, time.Now())
	if err != nil {
		return transport.Change{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return transport.Change{}, transport.ErrStopped
	}
	return transport.Change{Commit: func() { t.commit(&settings, times) }, Abort: func() {}}, nil
}

// commit makes the change. A schedule that stays the same goes on.
func (t *Transport) commit(settings *Config, times schedule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.config
	t.config = settings
	if before.Every == settings.Every && before.Cron == settings.Cron && before.TimeZone == settings.TimeZone {
		return
	}
	t.times = times
	if t.served {
		t.next = times.after(time.Now())
	}
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// Retire implements transport.Transport: the present run is the last one.
func (t *Transport) Retire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
}

// Close implements transport.Transport.
func (t *Transport) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end()
	if !t.closed {
		t.closed = true
		close(t.dropped)
	}
	return nil
}

// end has no run begin any more. The caller holds t.mu.
func (t *Transport) end() {
	if !t.over {
		t.over = true
		close(t.ended)
	}
}

// Status implements transport.Transport.
func (t *Transport) Status() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var now string
	switch {
	case !t.begun.IsZero():
		now = "running for " + time.Since(t.begun).Round(time.Millisecond).String()
	case t.over:
		now = "stopped"
	case t.next.IsZero():
		now = "no run to come"
	default:
		now = "next run at " + t.next.Format(time.DateTime)
	}
	return fmt.Sprintf("%s, %d runs, %d failed, %d missed", now, t.stats.runs, t.stats.failed, t.stats.missed)
}
