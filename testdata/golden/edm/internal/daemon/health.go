// Whether the service could do its work at the moment. What it depends on may be
// away for a while; then it is not ready, and goes on by itself when that is back.

package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"example.com/edm/internal/database"
)

const (
	// pingTimeout is how long a database may take to answer a check.
	pingTimeout = 5 * time.Second

	// leastPause is the time between two checks, whoever asks for more of them.
	leastPause = 100 * time.Millisecond
)

// errBusy is what a check says that came to nothing: all connections were in use.
var errBusy = errors.New("all connections are in use")

// monitor checks again and again whether the database answers. Its methods may
// be called from any goroutine.
type monitor struct {
	ping  func(ctx context.Context) error // may be errBusy
	every func() time.Duration            // between two checks while it answers

	// lost is called when the database is found to be away, and found when it is
	// back, after so long; by one goroutine.
	lost  func(err error)
	found func(after time.Duration)

	now chan struct{} // a check is wanted; has room for one

	mu      sync.Mutex
	since   time.Time // when it was found to be away; zero: it answers
	suspect bool      // somebody has found it to be away since the last check
}

func newMonitor(ping func(ctx context.Context) error, every func() time.Duration) *monitor {
	return &monitor{ping: ping, every: every, now: make(chan struct{}, 1)}
}

// isAway reports whether the last check says so.
func (m *monitor) isAway() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.since.IsZero()
}

// unavailable is for whoever has met an error that says that the database is
// away: it is checked at once, and is away unless it answers. It may be called
// for each such error.
func (m *monitor) unavailable() {
	m.mu.Lock()
	m.suspect = true
	away := !m.since.IsZero()
	m.mu.Unlock()
	if !away { // else the pauses are what they are for a reason
		m.check()
	}
}

// check has the database checked at once.
func (m *monitor) check() {
	select {
	case m.now <- struct{}{}:
	default: // that is wanted already
	}
}

// run checks until ctx ends.
func (m *monitor) run(ctx context.Context) {
	var pauses backoff
	for {
		last := time.Now()
		pause := m.every()
		if m.isAway() {
			pause = pauses.next()
		} else {
			pauses = backoff{}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-m.now:
		case <-ctx.Done():
		}
		timer.Stop()
		if !rest(ctx, min(leastPause, pause)-time.Since(last)) {
			return
		}
		m.ask(ctx)
	}
}

// ask makes one check.
func (m *monitor) ask(ctx context.Context) {
	m.mu.Lock()
	away, suspect := m.since, m.suspect
	m.suspect = false
	m.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, pingTimeout)
	err := m.ping(limited)
	cancel()
	switch {
	case ctx.Err() != nil:
	case err == nil && !away.IsZero():
		m.setSince(time.Time{})
		m.found(time.Since(away))
	case err != nil && away.IsZero() && (suspect || !errors.Is(err, errBusy)):
		m.setSince(time.Now())
		m.lost(err)
	}
}

func (m *monitor) setSince(since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.since = since
}

// ping asks the database for a sign of life. A pool that has no connection to
// spare is no proof of anything: errBusy.
func ping(ctx context.Context, db *database.DB) error {
	err := db.PingContext(ctx)
	if err == nil || ctx.Err() == nil {
		return err
	}
	if stats := db.Stats(); stats.MaxOpenConnections > 0 && stats.InUse >= stats.MaxOpenConnections {
		return errBusy
	}
	return err
}

// monitorDatabase makes db the database of the service, and begins to check it.
func (s *service) monitorDatabase(db *database.DB) {
	m := newMonitor(func(ctx context.Context) error { return ping(ctx, db) }, func() (every time.Duration) {
		s.set(func() { every = time.Duration(s.configuration.DatabaseSettings.CheckEvery) })
		return every
	})
	m.lost = func(err error) {
		s.log.Logger().Warn("the database is not reachable", "error", err)
		s.notifyStatus()
	}
	m.found = func(after time.Duration) {
		s.log.Logger().Info("the database is reachable again", "after", after.Round(time.Millisecond))
		s.notifyStatus()
	}
	s.set(func() { s.db, s.health = db, m })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.run(ctx)
	}()
	s.teardown.push("health check", func() error {
		stop()
		<-ended
		return nil
	})
}

// notifyStatus tells the supervisor how the service does, unless that has had
// other news since.
func (s *service) notifyStatus() {
	if status, _ := s.snapshot(); status.State.serving() {
		s.notifier.Status(status.String())
	}
}

// notReady returns what the service lacks to do its work, for a person; what
// comes to depend on something else as well adds its reason here. The caller
// holds s.mu.
func (s *service) notReady() []string {
	var reasons []string
	if s.waitsFor != "" {
		reasons = append(reasons, s.waitsFor)
	}
	if s.health != nil && s.health.isAway() {
		reasons = append(reasons, "the database is not reachable")
	}
	return append(reasons, s.away()...)
}
