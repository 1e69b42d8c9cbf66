// Package databasetest is the test that every database passes.
package databasetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"example.com/feed/internal/database"
)

// Place is a configuration and where it is to hold. The suite fills in the rest
// of Env.
type Place struct {
	Config   database.Config
	StateDir string
}

// Run holds the database to what the service relies on. Fresh returns a place
// whose database is empty, another one at each call.
func Run(t *testing.T, fresh func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, place Place)
	}{
		{"Defaults", testDefaults},
		{"AnyBytes", testAnyBytes},
		{"Order", testOrder},
		{"Reopen", testReopen},
		{"OpenTwice", testOpenTwice},
		{"Rollback", testRollback},
		{"StatementIsATransaction", testStatementIsATransaction},
		{"EndedContext", testEndedContext},
		{"Concurrency", testConcurrency},
		{"Close", testClose},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

// Unusable holds the database to an error that names what is wrong, at once.
func Unusable(t *testing.T, place Place, names string) {
	t.Helper()
	db, err := place.Config.Open(t.Context(), env(place))
	if err == nil {
		_ = db.Close()
		t.Fatalf("a database that is unusable (%s) was opened", names)
	}
	if !strings.Contains(err.Error(), names) {
		t.Errorf("the error does not name %q: %v", names, err)
	}
}

const insert = "INSERT INTO feed (body) VALUES (?)"

// testDefaults: what the configuration holds by itself is valid.
func testDefaults(t *testing.T, place Place) {
	place.Config.Validate(func(key, reason string) { t.Errorf("%s %s", key, reason) })
}

// testAnyBytes: what comes out is what went in, whatever it is, as one row, with
// a time.
func testAnyBytes(t *testing.T, place Place) {
	db := open(t, place)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	bodies := [][]byte{
		[]byte("hello"), {}, {0}, all, []byte("'); DROP TABLE x; --?"), []byte("äöü€😀"), []byte("\xff\xfe\xc3"),
		[]byte("123"), []byte(" \t\r\n "), bytes.Repeat([]byte("0123456789abcdef"), 1<<16),
	}
	for _, body := range bodies {
		store(t, db, body)
	}
	stored := read(t, db)
	if len(stored) != len(bodies) {
		t.Fatalf("%d rows after %d inserts", len(stored), len(bodies))
	}
	for i, body := range bodies {
		if !bytes.Equal(stored[i], body) {
			t.Errorf("stored %.40q, read %.40q", body, stored[i])
		}
	}
	var untimed int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM feed WHERE received_at IS NULL").Scan(&untimed); err != nil || untimed != 0 {
		t.Errorf("%d rows without a time, %v", untimed, err)
	}
}

// testOrder: the rows of one statement get their ids in its order.
func testOrder(t *testing.T, place Place) {
	db := open(t, place)
	store(t, db, []byte("0"))
	var args []any
	for i := range 300 {
		args = append(args, fmt.Append(nil, i+1))
	}
	query := insert + strings.Repeat(", (?)", len(args)-1)
	if _, err := db.ExecContext(t.Context(), db.Rebind(query), args...); err != nil {
		t.Fatal(err)
	}
	for i, body := range read(t, db) {
		if string(body) != fmt.Sprint(i) {
			t.Fatalf("row %d holds %q", i, body)
		}
	}
}

// testReopen: what is stored is there at the next start, which creates nothing
// anew.
func testReopen(t *testing.T, place Place) {
	db := open(t, place)
	store(t, db, []byte("first"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, place)
	store(t, db, []byte("second"))
	if stored := read(t, db); len(stored) != 2 || string(stored[0]) != "first" {
		t.Errorf("read %q", stored)
	}
}

// testOpenTwice: a second process may use the same database meanwhile.
func testOpenTwice(t *testing.T, place Place) {
	one, two := open(t, place), open(t, place)
	store(t, one, []byte("one"))
	store(t, two, []byte("two"))
	if a, b := read(t, one), read(t, two); len(a) != 2 || len(b) != 2 {
		t.Errorf("one sees %q, the other %q", a, b)
	}
}

// testRollback: a transaction that is not committed leaves nothing.
func testRollback(t *testing.T, place Place) {
	db := open(t, place)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), db.Rebind(insert), []byte("lost")); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "INSERT INTO no_such_table VALUES (1)"); err == nil {
		t.Error("no error for a table that does not exist")
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	store(t, db, []byte("kept"))
	if stored := read(t, db); len(stored) != 1 || string(stored[0]) != "kept" {
		t.Errorf("read %q", stored)
	}
}

// testStatementIsATransaction: a statement that fails leaves nothing.
func testStatementIsATransaction(t *testing.T, place Place) {
	db := open(t, place)
	if _, err := db.ExecContext(t.Context(), db.Rebind(insert+", (?)"), []byte("lost"), nil); err == nil {
		t.Error("a row without a body was stored")
	}
	if stored := read(t, db); len(stored) != 0 {
		t.Errorf("read %q", stored)
	}
}

// testEndedContext: work for which there is no time leaves nothing and spoils
// nothing.
func testEndedContext(t *testing.T, place Place) {
	db := open(t, place)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, db.Rebind(insert), []byte("lost")); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := tx.Commit(); err == nil {
		t.Error("committed after the context had ended")
	}
	if _, err := db.ExecContext(ctx, db.Rebind(insert), []byte("lost")); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	store(t, db, []byte("kept"))
	if stored := read(t, db); len(stored) != 1 || string(stored[0]) != "kept" {
		t.Errorf("read %q", stored)
	}
}

// testConcurrency: as many workers as there are store at once, and none fails.
func testConcurrency(t *testing.T, place Place) {
	const each = 20
	db := open(t, place)
	var workers sync.WaitGroup
	for range env(place).Workers {
		workers.Go(func() {
			for range each {
				if _, err := db.ExecContext(t.Context(), db.Rebind(insert), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	if n := len(read(t, db)); n != each*env(place).Workers {
		t.Errorf("%d rows", n)
	}
}

// testClose: nothing is stored after Close, which may be called again.
func testClose(t *testing.T, place Place) {
	db := open(t, place)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), db.Rebind(insert), []byte("lost")); err == nil {
		t.Error("no error after Close")
	}
}

func env(place Place) database.Env {
	return database.Env{Name: "feed", Log: slog.New(slog.DiscardHandler), StateDir: place.StateDir, Workers: 8}
}

func open(t *testing.T, place Place) *database.DB {
	t.Helper()
	db, err := place.Config.Open(t.Context(), env(place))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func store(t *testing.T, db *database.DB, body []byte) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), db.Rebind(insert), string(body)); err != nil {
		t.Fatal(err)
	}
}

// read returns all bodies in the order of their ids.
func read(t *testing.T, db *database.DB) (bodies [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT body FROM feed ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return bodies
}
