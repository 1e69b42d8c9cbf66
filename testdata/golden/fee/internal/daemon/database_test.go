package daemon

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/fee/internal/config"
	"example.com/fee/internal/database"
	"example.com/fee/internal/worker"
)

// remote is a database that is away for a while, as far as a start can tell.
type remote struct {
	opens, closes int
	away          time.Duration // after the first attempt to open it
	then          error         // what it has against being opened afterwards
	began         time.Time

	migrations [][]string // applied by each attempt
	migrate    []error    // result of each attempt
}

var errRefused = &database.UnavailableError{Err: errors.New("connection refused")}

func (*remote) Validate(func(key, reason string)) {}

func (r *remote) Open(context.Context, database.Env) (*database.DB, error) {
	r.opens++
	if r.opens == 1 {
		r.began = time.Now()
	}
	if time.Since(r.began) < r.away {
		return nil, fmt.Errorf("server db1: %w", errRefused)
	}
	if r.then != nil {
		return nil, r.then
	}
	return database.New(sql.OpenDB(closer{&r.closes}), database.Options{
		Classify: func(err error) database.Class {
			if errors.Is(err, errRefused.Err) {
				return database.Unavailable
			}
			return database.Retry
		},
		Migrate: func(context.Context) ([]string, error) {
			names, err := shift(&r.migrations), shift(&r.migrate)
			return names, err
		},
	}), nil
}

func shift[T any](list *[]T) (first T) {
	if len(*list) > 0 {
		first, *list = (*list)[0], (*list)[1:]
	}
	return first
}

// closer counts the pools that are closed.
type closer struct{ n *int }

func (closer) Connect(context.Context) (driver.Conn, error) { return nil, driver.ErrBadConn }
func (closer) Driver() driver.Driver                        { return nil }
func (c closer) Close() error                               { *c.n++; return nil }

// opener returns one for a configuration that waits for so long.
func (r *remote) opener(wait time.Duration) opener {
	settings := database.DefaultSettings()
	settings.Wait = config.Duration(wait)
	return opener{"test", "", &Configuration{
		Worker: worker.Default(), Database: r, DatabaseSettings: settings, databaseName: "remote",
	}, slog.New(slog.DiscardHandler)}
}

// Pitfall 64: a start waits for a database that is away, and says so once; what
// waiting does not help, it does not wait for (pitfall 13).
func TestAwaitDatabase(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		remote   remote
		wait     time.Duration
		want     string        // error
		least    time.Duration // how long it takes
		most     time.Duration
		warnings int
	}{
		{"there", remote{}, 25 * time.Second, "", 0, 0, 0},
		{"back in time", remote{away: 10 * time.Second}, 25 * time.Second, "", 10 * time.Second, 15 * time.Second, 1},
		{"back at the last moment", remote{away: 25 * time.Second}, 25 * time.Second, "", 25 * time.Second, 25 * time.Second, 1},
		{"away", remote{away: time.Hour}, 25 * time.Second, "database.remote: not reachable for 25s: server db1: connection refused", 25 * time.Second, 25 * time.Second, 1},
		{"away, no wait", remote{away: time.Hour}, 0, "database.remote: server db1: connection refused", 0, 0, 0},
		{"wrong password", remote{then: errors.New("access denied")}, 25 * time.Second, "database.remote: access denied", 0, 0, 0},
		{"back, wrong password", remote{away: time.Second, then: errors.New("access denied")}, 25 * time.Second, "database.remote: access denied", time.Second, 6 * time.Second, 1},
		{"broken migration", remote{migrate: []error{errors.New("syntax error")}}, 25 * time.Second, "database.remote: migrate: syntax error", 0, 0, 0},
		{"lost in a migration", remote{migrate: []error{errRefused, errRefused}}, 25 * time.Second, "", 2, 2 * time.Second, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, warnings := time.Now(), 0
				db, _, err := test.remote.opener(test.wait).await(t.Context(), func(error) { warnings++ })
				if took := time.Since(begin); took < test.least || took > test.most {
					t.Errorf("it took %s, want %s to %s", took, test.least, test.most)
				}
				if message := fmt.Sprint(err); err != nil && message != test.want || (err == nil) != (test.want == "") {
					t.Errorf("got %v, want %q", err, test.want)
				}
				if warnings != test.warnings {
					t.Errorf("told %d times to wait, want %d", warnings, test.warnings)
				}
				if (db == nil) != (err != nil) {
					t.Errorf("database %v with error %v", db, err)
				}
				if db != nil {
					_ = db.Close()
				}
			})
		})
	}
}

// The migrations of an attempt that was cut off count as applied.
func TestMigrationsOverTwoAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &remote{migrations: [][]string{{"1.sql", "2.sql"}, {"3.sql"}}, migrate: []error{errRefused, nil}}
		db, applied, err := r.opener(time.Minute).await(t.Context(), func(error) {})
		if want := []string{"1.sql", "2.sql", "3.sql"}; err != nil || !slices.Equal(applied, want) {
			t.Fatalf("applied %v, %v; want %v", applied, err, want)
		}
		if r.closes != 1 {
			t.Errorf("%d pools are closed, want the one of the first attempt", r.closes)
		}
		_ = db.Close()
	})
}

// Pitfall 20: a stop ends the waiting at once.
func TestStopWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		_, _, err := (&remote{away: time.Hour}).opener(time.Hour).await(ctx, func(error) {})
		if took := time.Since(begin); err == nil || took != time.Second {
			t.Errorf("got %v after %s", err, took)
		}
	})
}

// Pitfall 63: instances that lose a server at the same moment come back to it
// spread, with the first attempt too; and never wait for longer than the most.
func TestBackoff(t *testing.T) {
	t.Parallel()
	const instances = 1000
	for round, bound := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000} {
		bound *= time.Millisecond
		var buckets [10]int
		for range instances {
			var b backoff
			for range round {
				b.next()
			}
			pause := b.next()
			if pause <= 0 || pause > bound {
				t.Fatalf("pause %d is %s, want more than 0 and at most %s", round+1, pause, bound)
			}
			buckets[(pause-1)*10/bound]++
		}
		if most := slices.Max(buckets[:]); most > instances/5 {
			t.Errorf("pause %d: a tenth of the time has %d of %d instances", round+1, most, instances)
		}
	}
}

// The text of a status tells what is missing, and never says ready then.
func TestStatusText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status Status
		ready  bool
		want   string
	}{
		{Status{State: Ready}, true, "ready (pid 7), up 0s, "},
		{Status{State: Reloading}, true, "reloading (pid 7), up 0s, "},
		{Status{State: Ready, NotReady: []string{"a", "b"}}, false, "running (pid 7), not ready: a, b, up 0s, "},
		{Status{State: Starting, NotReady: []string{"waiting for a"}}, false, "starting (pid 7), waiting for a, up 0s, "},
		{Status{State: Starting}, false, "starting (pid 7), up 0s, "},
		{Status{State: Draining, NotReady: []string{"a"}}, false, "draining (pid 7), a, up 0s, "},
	} {
		test.status.PID = 7
		if got := test.status.String(); !strings.HasPrefix(got, test.want) || test.status.IsReady() != test.ready {
			t.Errorf("got %q, ready %t; want %q, %t", got, test.status.IsReady(), test.want, test.ready)
		}
	}
}
