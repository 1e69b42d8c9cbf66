package daemon

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/fee/internal/database"
)

// observed is a monitor of a database that answers as the test wants.
type observed struct {
	*monitor
	answer      atomic.Pointer[error] // to a ping; nil: it answers
	pings       atomic.Int64
	lost, found atomic.Int64 // how often that was told
}

// goesAway has it not answer any more, with err.
func (o *observed) goesAway(err error) { o.answer.Store(&err) }

func (o *observed) comesBack() { o.answer.Store(nil) }

// observe has a monitor run until the test ends, in a bubble of synctest.
func observe(t *testing.T) *observed {
	t.Helper()
	o := &observed{}
	o.monitor = newMonitor(func(context.Context) error {
		o.pings.Add(1)
		if err := o.answer.Load(); err != nil {
			return *err
		}
		return nil
	}, func() time.Duration { return 5 * time.Second })
	o.monitor.lost = func(error) { o.lost.Add(1) }
	o.monitor.found = func(time.Duration) { o.found.Add(1) }
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go o.run(ctx)
	synctest.Wait()
	return o
}

// after lets time pass.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// Pitfall 64: a database that was away for minutes is found again within the
// longest pause, and each change is told once.
func TestMonitor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := observe(t)
		after(time.Minute)
		if n := o.pings.Load(); n != 12 || o.isAway() {
			t.Errorf("%d checks in a minute, away %t; want 12", n, o.isAway())
		}
		o.goesAway(errors.New("connection refused"))
		after(5 * time.Second)
		if !o.isAway() || o.lost.Load() != 1 {
			t.Fatalf("away %t, told %d times", o.isAway(), o.lost.Load())
		}
		before := o.pings.Load()
		after(3 * time.Minute)
		// Full jitter: a pause is half of the most on average.
		if n := o.pings.Load() - before; n < 40 || n > 150 || o.lost.Load() != 1 {
			t.Errorf("%d checks in 3 minutes, told %d times", n, o.lost.Load())
		}
		o.comesBack()
		after(mostBackoff)
		if o.isAway() || o.found.Load() != 1 {
			t.Errorf("away %t, told %d times", o.isAway(), o.found.Load())
		}
	})
}

// Who meets a database that is away has it checked at once, but however many do,
// the checks are few, and fewer still once it is known (pitfall 63).
func TestMonitorIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := observe(t)
		after(time.Second)
		o.unavailable()
		after(0)
		if o.pings.Load() != 1 || o.isAway() {
			t.Fatalf("%d checks, away %t; want one, which it answers", o.pings.Load(), o.isAway())
		}
		flood := func(d time.Duration) (checks int64) {
			before := o.pings.Load()
			for range d / time.Millisecond {
				o.unavailable()
				after(time.Millisecond)
			}
			return o.pings.Load() - before
		}
		if n := flood(10 * time.Second); n > 101 {
			t.Errorf("%d checks in 10 s of a database that answers", n)
		}
		o.goesAway(errors.New("connection refused"))
		flood(200 * time.Millisecond)
		if !o.isAway() {
			t.Fatal("it is not away")
		}
		after(time.Minute) // until the pauses are long
		if n := flood(time.Minute); n > 60 {
			t.Errorf("%d checks in a minute of a database that is away", n)
		}
		// Whoever knows better, as a reload does, is heard.
		o.comesBack()
		o.check()
		after(leastPause)
		if o.isAway() {
			t.Error("it is away after a check")
		}
	})
}

// A pool without a connection to spare proves nothing, unless a worker has found
// the database to be away (pitfall 68).
func TestMonitorOfABusyPool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := observe(t)
		o.goesAway(errBusy)
		after(time.Minute)
		if o.isAway() {
			t.Fatal("a busy database is away")
		}
		o.unavailable()
		after(leastPause)
		if !o.isAway() {
			t.Fatal("a worker was not believed")
		}
		after(time.Minute)
		if !o.isAway() || o.found.Load() != 0 {
			t.Error("it is back without an answer")
		}
	})
}

// mute is the connector of a database that takes connections, and says nothing
// until it is told to.
type mute struct{ free chan struct{} }

func (s mute) Connect(ctx context.Context) (driver.Conn, error) {
	select {
	case <-s.free:
		return connection{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (mute) Driver() driver.Driver { return nil }

// connection is one that does nothing.
type connection struct{ driver.Conn }

func (connection) Close() error { return nil }

func TestPing(t *testing.T) {
	t.Parallel()
	s := mute{make(chan struct{}, 1)}
	pool := sql.OpenDB(s)
	pool.SetMaxOpenConns(1)
	db := database.New(pool, database.Options{})
	t.Cleanup(func() { _ = db.Close() })
	over, cancel := context.WithCancel(t.Context())
	cancel()

	s.free <- struct{}{}
	if err := ping(t.Context(), db); err != nil {
		t.Errorf("of one that answers: %v", err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := ping(over, db); !errors.Is(err, errBusy) {
		t.Errorf("of one that has no connection: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(2)
	pool.SetMaxIdleConns(0)
	if err := ping(over, db); err == nil || errors.Is(err, errBusy) {
		t.Errorf("of one that says nothing: %v", err)
	}
}
