// What is stored, and what is not.

package databasetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// testDefaults: what the configuration holds by itself is valid.
func testDefaults(t *testing.T, place Place) {
	place.Config.Validate(func(key, reason string) { t.Errorf("%s %s", key, reason) })
}

// testAnyBytes: what comes out is what went in, whatever it is, as one row, with
// a time.
func testAnyBytes(t *testing.T, place Place) {
	db := Open(t, place)
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
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM messages WHERE received_at IS NULL").Scan(&untimed); err != nil || untimed != 0 {
		t.Errorf("%d rows without a time, %v", untimed, err)
	}
}

// testLargeBody: a message may have 16 MiB at least. Half of its bytes have to be
// escaped where a value is part of a statement.
func testLargeBody(t *testing.T, place Place) {
	db := Open(t, place)
	body := bytes.Repeat([]byte{'\'', 'x', 0, 0xff}, 1<<22)
	store(t, db, body)
	if stored := read(t, db); len(stored) != 1 || !bytes.Equal(stored[0], body) {
		t.Errorf("%d rows, or another body", len(stored))
	}
}

// testLargeBatch: the bodies of a batch may be larger together than what may be
// sent at once, and there may be 10000 of them.
func testLargeBatch(t *testing.T, place Place) {
	db := Open(t, place)
	for _, batch := range []struct{ rows, size int }{{24, 1 << 20}, {10000, 10}} {
		var args []any
		for i := range batch.rows {
			args = append(args, fmt.Sprint(batch.rows, " ", i), db.Bytes(bytes.Repeat([]byte("x"), batch.size)))
		}
		if _, err := db.ExecContext(t.Context(), db.Rebind(inserting(batch.rows, db.SkipDuplicates)), args...); err != nil {
			t.Errorf("%d rows of %d bytes: %v", batch.rows, batch.size, err)
		}
	}
	if n := count(t, db); n != 10024 {
		t.Errorf("%d rows", n)
	}
}

// testOrder: the rows of one statement get their ids in its order.
func testOrder(t *testing.T, place Place) {
	db := Open(t, place)
	store(t, db, []byte("0"))
	var args []any
	for i := range 300 {
		args = append(args, db.Bytes(fmt.Append(nil, i+1)))
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
	db := Open(t, place)
	store(t, db, []byte("first"))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = Open(t, place)
	store(t, db, []byte("second"))
	if stored := read(t, db); len(stored) != 2 || string(stored[0]) != "first" {
		t.Errorf("read %q", stored)
	}
}

// testOpenTwice: a second process may use the same database meanwhile.
func testOpenTwice(t *testing.T, place Place) {
	one, two := Open(t, place), Open(t, place)
	store(t, one, []byte("one"))
	store(t, two, []byte("two"))
	if a, b := read(t, one), read(t, two); len(a) != 2 || len(b) != 2 {
		t.Errorf("one sees %q, the other %q", a, b)
	}
}

// testRollback: a transaction that is not committed leaves nothing.
func testRollback(t *testing.T, place Place) {
	db := Open(t, place)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost"))); err != nil {
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
	db := Open(t, place)
	if _, err := db.ExecContext(t.Context(), db.Rebind(insert+", (?)"), db.Bytes([]byte("lost")), nil); err == nil {
		t.Error("a row without a body was stored")
	}
	if stored := read(t, db); len(stored) != 0 {
		t.Errorf("read %q", stored)
	}
}

// testEndedContext: work for which there is no time leaves nothing and spoils
// nothing.
func testEndedContext(t *testing.T, place Place) {
	db := Open(t, place)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, db.Rebind(insert), db.Bytes([]byte("lost"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := tx.Commit(); err == nil {
		t.Error("committed after the context had ended")
	}
	if _, err := db.ExecContext(ctx, db.Rebind(insert), db.Bytes([]byte("lost"))); !errors.Is(err, context.Canceled) {
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
	db := Open(t, place)
	var workers sync.WaitGroup
	for range Env(place).Workers {
		workers.Go(func() {
			for range each {
				if _, err := db.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("x"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	if n := count(t, db); n != each*Env(place).Workers {
		t.Errorf("%d rows", n)
	}
}

// testBatches: as many workers as there are store batches at once, again and
// again, and none is in the way of another.
func testBatches(t *testing.T, place Place) {
	const batches, rows = 10, 50
	db := Open(t, place)
	var workers sync.WaitGroup
	for worker := range Env(place).Workers {
		workers.Go(func() {
			for batch := range batches {
				var args []any
				for row := range rows { // the keys of several workers are neighbours
					args = append(args, fmt.Sprintf("%03d %03d %d", batch, row, worker), db.Bytes([]byte("x")))
				}
				if _, err := db.ExecContext(t.Context(), db.Rebind(inserting(rows, db.SkipDuplicates)), args...); err != nil {
					t.Errorf("%v: %v", db.Classify(err), err)
				}
			}
		})
	}
	workers.Wait()
	if n := count(t, db); n != Env(place).Workers*batches*rows {
		t.Errorf("%d rows", n)
	}
}

// testClose: nothing is stored after Close, which may be called again.
func testClose(t *testing.T, place Place) {
	db := Open(t, place)
	for range 2 {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), db.Rebind(insert), db.Bytes([]byte("lost"))); err == nil {
		t.Error("no error after Close")
	}
}
