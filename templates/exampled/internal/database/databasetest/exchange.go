// What a reload does.

package databasetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
)

// testExchange: what has begun with a pool ends with it, although the pool was
// exchanged and closed meanwhile.
func testExchange(t *testing.T, place Place) {
	db := Open(t, place)
	store(t, db, []byte("before"))
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	exchange(t, db, place)
	if stored := read(t, db); len(stored) != 1 {
		t.Errorf("after the exchange: read %q", stored)
	}
	for _, body := range []string{"one", "two"} {
		if _, err := tx.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte(body))); err != nil {
			t.Error(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	store(t, db, []byte("after"))
	if stored := read(t, db); len(stored) != 4 {
		t.Errorf("read %q", stored)
	}

	rows, err := db.QueryContext(t.Context(), "SELECT body FROM messages ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	exchange(t, db, place)
	var n int
	for ; rows.Next(); n++ {
	}
	if err := rows.Err(); err != nil || n != 4 {
		t.Errorf("%d rows from the pool that was exchanged, %v", n, err)
	}
}

// exchange opens the place anew, as a reload does, and waits until the old pool
// is closed.
func exchange(t *testing.T, db *database.DB, place Place) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	fresh, err := place.Config.Open(ctx, Env(place))
	cancel() // what was opened outlives it
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	db.Exchange(fresh, func(err error) { closed <- err })
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// testExchangeUnderLoad: no call fails because the pool is exchanged, and nothing
// is stored twice or not at all.
func testExchangeUnderLoad(t *testing.T, place Place) {
	const exchanges = 20
	db := Open(t, place)
	over := make(chan struct{})
	var stored atomic.Int64
	var workers sync.WaitGroup
	for range Env(place).Workers {
		workers.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := db.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("x"))); err != nil {
					t.Error(err)
					return
				}
				stored.Add(1)
			}
		})
	}
	for range exchanges {
		exchange(t, db, place)
	}
	close(over)
	workers.Wait()
	if n := len(read(t, db)); n != int(stored.Load()) {
		t.Errorf("%d rows, %d stored", n, stored.Load())
	}
}
