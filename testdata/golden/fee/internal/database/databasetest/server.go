// What holds for a database on a server.

package databasetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/fee/internal/database"
	"example.com/fee/internal/proxytest"
)

// Remote is a database on a server, for RunServer.
type Remote struct {
	// Fresh is that of Run.
	Fresh func(t *testing.T) Place

	// Address is the host:port of the server, and At returns a place as it is
	// reached by another one.
	Address string
	At      func(place Place, address string) Place

	// Login returns a place as another user, or with another password or
	// database sees it.
	Login func(place Place, user, password, name string) Place

	// SessionID is a query for the number of a session, and Kill a statement
	// that ends the session of a number, whatever it does.
	SessionID, Kill string
}

// RunServer holds a database on a server to what the service relies on, besides
// Run.
func RunServer(t *testing.T, remote Remote) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, remote Remote)
	}{
		{"Deadlock", testDeadlock},
		{"Locked", testLocked},
		{"TooLong", testTooLong},
		{"Killed", testKilled},
		{"Cut", testCut},
		{"Away", testAway},
		{"Silent", testSilent},
		{"Rejected", testRejected},
		{"Bounds", testBounds},
		{"MigrateBusyPool", testMigrateBusyPool},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, remote) })
	}
}

// begin begins a transaction that ends with the test.
func begin(t *testing.T, db *database.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

const locking = "SELECT body FROM messages WHERE message_key = ? FOR UPDATE"

// testDeadlock: of two transactions that wait for each other, one fails, and is
// worth a retry.
func testDeadlock(t *testing.T, remote Remote) {
	db := Open(t, remote.Fresh(t))
	if err := storeWithKeys(t, db, "", "a", "b"); err != nil {
		t.Fatal(err)
	}
	lock := func(tx *sql.Tx, key string) error {
		var body []byte
		return tx.QueryRowContext(t.Context(), db.Rebind(locking), key).Scan(&body)
	}
	one, two := begin(t, db), begin(t, db)
	if err := errors.Join(lock(one, "a"), lock(two, "b")); err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	cross := func(tx *sql.Tx, key string) {
		err := lock(tx, key)
		if err != nil {
			_ = tx.Rollback() // lets the other one go on
		}
		results <- err
	}
	go cross(one, "b")
	go cross(two, "a")
	first, second := <-results, <-results
	if first == nil {
		first, second = second, first
	}
	Class(t, db, "deadlock", first, database.Retry)
	if second != nil {
		t.Errorf("both have failed, too: %v", second)
	}
}

// testLocked: what somebody else has locked may be free later.
func testLocked(t *testing.T, remote Remote) {
	db := Open(t, remote.Fresh(t))
	if err := storeWithKeys(t, db, "", "a"); err != nil {
		t.Fatal(err)
	}
	var body []byte
	if err := begin(t, db).QueryRowContext(t.Context(), db.Rebind(locking), "a").Scan(&body); err != nil {
		t.Fatal(err)
	}
	err := db.QueryRowContext(t.Context(), db.Rebind(locking+" NOWAIT"), "a").Scan(&body)
	Class(t, db, "locked", err, database.Retry)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = db.QueryRowContext(ctx, db.Rebind(locking), "a").Scan(&body)
	Class(t, db, "waited in vain", err, database.Retry)
}

// testTooLong: what does not fit is not cut, but an error for good.
func testTooLong(t *testing.T, remote Remote) {
	db := Open(t, remote.Fresh(t))
	Class(t, db, "key", storeWithKeys(t, db, "", strings.Repeat("k", 256)), database.Permanent)
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// testKilled: who loses the connection in the middle of a transaction is told
// that the database is away, and whoever comes next gets another connection.
func testKilled(t *testing.T, remote Remote) {
	db := Open(t, remote.Fresh(t))
	tx := begin(t, db)
	var session int64
	if err := tx.QueryRowContext(t.Context(), remote.SessionID).Scan(&session); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost"))); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf(remote.Kill, session)); err != nil {
		t.Fatal(err)
	}
	_, err := tx.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost")))
	Class(t, db, "killed session", err, database.Unavailable)
	store(t, db, []byte("kept"))
	if got := texts(read(t, db)); len(got) != 1 || got[0] != "kept" {
		t.Errorf("read %q", got)
	}
}

// testCut: the same where nobody tells of the end.
func testCut(t *testing.T, remote Remote) {
	place := remote.Fresh(t)
	proxy := proxytest.New(t, remote.Address)
	db := Open(t, remote.At(place, proxy.Address()))
	tx := begin(t, db)
	if _, err := tx.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost"))); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	_, err := tx.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost")))
	Class(t, db, "connection cut", err, database.Unavailable)
	_ = tx.Rollback()
	storeInTime(t, db)
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// storeInTime stores a row. There may be connections left in the pool that are
// of no use, but no more than it holds.
func storeInTime(t *testing.T, db *database.DB) {
	t.Helper()
	var err error
	for range db.Stats().MaxOpenConnections + 1 {
		if _, err = db.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("x"))); err == nil {
			return
		}
		Class(t, db, "useless connection", err, database.Unavailable)
	}
	t.Error(err)
}

// testAway: without a server all calls fail for the one reason, and so does
// Open; when it is back, all is well.
func testAway(t *testing.T, remote Remote) {
	place := remote.Fresh(t)
	proxy := proxytest.New(t, remote.Address)
	place = remote.At(place, proxy.Address())
	db := Open(t, place)
	proxy.Stop()
	for range 3 {
		_, err := db.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost")))
		Class(t, db, "server away", err, database.Unavailable)
		Class(t, db, "server away", db.PingContext(t.Context()), database.Unavailable)
	}
	mustBeUnavailable(t, place, proxy.Address())
	proxy.Start()
	storeInTime(t, db)
	Open(t, place)
}

// testSilent: a server that says nothing is as good as none.
func testSilent(t *testing.T, remote Remote) {
	place := remote.Fresh(t)
	proxy := proxytest.New(t, remote.Address)
	proxy.Silence()
	mustBeUnavailable(t, remote.At(place, proxy.Address()), "")
}

// mustBeUnavailable opens a place of which nothing is wrong but that its server,
// of this name, is away.
func mustBeUnavailable(t *testing.T, place Place, name string) {
	t.Helper()
	db, err := place.Config.Open(t.Context(), Env(place))
	if err == nil {
		_ = db.Close()
		t.Fatal("opened a database without a server")
	}
	if _, ok := errors.AsType[*database.UnavailableError](err); !ok {
		t.Errorf("no UnavailableError: %v", err)
	}
	for part := range strings.SplitSeq(name, ":") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not name the server %s: %v", name, err)
		}
	}
}

// testRejected: what an operator has to put right is said at once, and without
// the password, in the log as well.
func testRejected(t *testing.T, remote Remote) {
	const marker = "hunter2-marker"
	place := remote.Fresh(t)
	for name, place := range map[string]Place{
		"user":     remote.Login(place, "nobody_of_this_name", marker, ""),
		"password": remote.Login(place, "", marker, ""),
		"database": remote.Login(place, "", "", "no_such_database"),
		"server":   remote.At(remote.Login(place, "", marker, ""), "127.0.0.1:1"),
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			env := Env(place)
			env.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			db, err := place.Config.Open(t.Context(), env)
			if err == nil {
				_ = db.Close()
				t.Fatal("opened")
			}
			_, unavailable := errors.AsType[*database.UnavailableError](err)
			if unavailable != (name == "server") {
				t.Errorf("is an UnavailableError: %v: %v", unavailable, err)
			}
			Tells(t, err, marker)
			if strings.Contains(log.String(), marker) {
				t.Errorf("the log tells the password: %s", &log)
			}
		})
	}
}

// testBounds: the size of the pool follows the workers, unless it is set.
func testBounds(t *testing.T, remote Remote) {
	place := remote.Fresh(t)
	db := Open(t, place)
	most := func(db *database.DB, want int) {
		t.Helper()
		if n := db.Stats().MaxOpenConnections; n != want {
			t.Errorf("up to %d connections, want %d", n, want)
		}
	}
	most(db, Env(place).Workers+2)
	db.Resize(3)
	most(db, 5)

	env := Env(place)
	env.Connections, env.MaxLifetime, env.MaxIdleTime = 1, time.Hour, time.Minute
	bounded, err := place.Config.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bounded.Close() }()
	most(bounded, 1)
	bounded.Resize(3)
	most(bounded, 1)
}

// testMigrateBusyPool: a pool of one connection, which is in use, is no
// hindrance to migrations.
func testMigrateBusyPool(t *testing.T, remote Remote) {
	place := remote.Fresh(t)
	env := Env(place)
	env.Connections = 1
	db, err := place.Config.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx := begin(t, db)
	if applied, err := db.Migrate(t.Context()); err != nil || len(applied) == 0 {
		t.Errorf("applied %q, %v", applied, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	store(t, db, []byte("x"))
}
