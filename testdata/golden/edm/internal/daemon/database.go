// The database on the way to be used: opened, waited for, and brought up to date.

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"example.com/edm/internal/database"
)

// opener opens the database of a configuration.
type opener struct {
	service       string // its name
	stateDir      string
	configuration *Configuration // it has a database
	log           *slog.Logger
}

// open opens the database and applies the migrations that are pending; it
// returns their names as well. An error names the section.
func (o opener) open(ctx context.Context) (db *database.DB, applied []string, err error) {
	db, applied, err = o.try(ctx)
	return db, applied, o.named(err)
}

// await is open, but as long as the database can't be reached tries again, until
// it has waited for database.wait. It calls waiting once, with the first such
// error.
func (o opener) await(ctx context.Context, waiting func(error)) (db *database.DB, applied []string, err error) {
	wait := time.Duration(o.configuration.DatabaseSettings.Wait)
	err = retry(ctx, wait, waiting, func() error {
		opened, names, err := o.try(ctx)
		db, applied = opened, append(applied, names...)
		return err
	})
	return db, applied, o.named(err)
}

func (o opener) named(err error) error {
	if err != nil {
		err = fmt.Errorf("database.%s: %w", o.configuration.databaseName, err)
	}
	return err
}

func (o opener) try(ctx context.Context) (*database.DB, []string, error) {
	settings := o.configuration.DatabaseSettings
	db, err := o.configuration.Database.Open(ctx, database.Env{
		Name:        o.service,
		Log:         o.log.With("database", o.configuration.databaseName),
		StateDir:    o.stateDir,
		Workers:     o.configuration.Worker.Count,
		Connections: settings.Connections,
		MaxLifetime: time.Duration(settings.MaxLifetime),
		MaxIdleTime: time.Duration(settings.MaxIdleTime),
	})
	if err != nil {
		return nil, nil, err
	}
	applied, err := db.Migrate(ctx)
	for _, name := range applied {
		o.log.Info("migration applied", "name", name)
	}
	if err == nil {
		return db, applied, nil
	}
	err = fmt.Errorf("migrate: %w", err)
	if db.Classify(err) == database.Unavailable {
		err = &database.UnavailableError{Err: err}
	}
	return nil, applied, errors.Join(err, db.Close())
}

// retry calls try until it succeeds, fails with an error that says nothing of
// being unavailable, or has been at it for as long as to wait.
func retry(ctx context.Context, wait time.Duration, waiting func(error), try func() error) error {
	begin := time.Now()
	var pauses backoff
	for tries := 0; ; tries++ {
		err := try()
		if err == nil || !isUnavailable(err) {
			return err
		}
		left := wait - time.Since(begin)
		if left <= 0 && wait > 0 {
			return fmt.Errorf("not reachable for %s: %w", wait, err)
		}
		if left <= 0 {
			return err
		}
		if tries == 0 {
			waiting(err)
		}
		if !rest(ctx, min(pauses.next(), left)) {
			return err
		}
	}
}

func isUnavailable(err error) bool {
	var u interface{ Unavailable() bool }
	return errors.As(err, &u) && u.Unavailable()
}

// backoff are the pauses between attempts to reach what is away: "full jitter",
// from the first one on, so that the instances of a service which have lost a
// server together do not come back to it together.
// See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
type backoff struct{ bound time.Duration }

const (
	leastBackoff = 100 * time.Millisecond // bound of the first pause
	mostBackoff  = 5 * time.Second        // of any
)

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, leastBackoff), mostBackoff)
	return rand.N(b.bound) + 1
}

// rest returns true after a pause, or false once ctx ends.
func rest(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// openAtStart opens the database, and lets everybody know what the start waits
// for while it is away.
func (s *service) openAtStart(ctx context.Context, c *Configuration) (*database.DB, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin, waited := time.Now(), false
	db, _, err := s.opener(c).await(ctx, func(err error) {
		waited = true
		wait := time.Duration(c.DatabaseSettings.Wait)
		s.log.Logger().Warn("waiting for the database", "wait", wait, "error", err)
		s.set(func() { s.waitsFor = "waiting for the database" })
		go s.extendStart(ctx, wait)
	})
	s.set(func() { s.waitsFor = "" })
	if waited && err == nil {
		s.log.Logger().Info("the database is there", "after", time.Since(begin).Round(time.Millisecond))
	}
	return db, err
}

// extendStart tells the supervisor what the start waits for, and asks it for time
// until that is there, or there is no more time to wait. The start of a process
// that is to take over is not its business.
func (s *service) extendStart(ctx context.Context, wait time.Duration) {
	if s.handover.Upgraded {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	status, _ := s.snapshot()
	s.notifier.Status(status.String())
	for {
		s.notifier.Extend(enoughTime)
		if !rest(ctx, time.Second) {
			return
		}
	}
}

func (s *service) opener(c *Configuration) opener {
	return opener{s.parts.Name, s.handover.Dirs.State, c, s.log.Logger()}
}
