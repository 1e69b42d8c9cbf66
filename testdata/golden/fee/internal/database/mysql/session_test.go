package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/fee/internal/database/databasetest"
)

// A statement ends with its context, whichever way it is executed: then its session
// is not used any more, and the next statement has another one.
func TestStatementEndsWithContext(t *testing.T) {
	const statement = "DO SLEEP(?)"
	const long = 600.0 // seconds: longer than the test may take
	for name, exec := range map[string]func(ctx context.Context, conn *sql.Conn) error{
		"at once": func(ctx context.Context, conn *sql.Conn) error {
			_, err := conn.ExecContext(ctx, statement, long)
			return err
		},
		"prepared": func(ctx context.Context, conn *sql.Conn) error {
			prepared, err := conn.PrepareContext(ctx, statement)
			if err != nil {
				return err
			}
			defer func() { _ = prepared.Close() }()
			_, err = prepared.ExecContext(ctx, long)
			return err
		},
		"in a transaction": func(ctx context.Context, conn *sql.Conn) error {
			tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, statement, long)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := databasetest.Open(t, fresh(t))
			session := func(conn *sql.Conn) (id int) {
				t.Helper()
				if err := conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
					t.Error(err)
				}
				return id
			}
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			first := session(conn)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := exec(ctx, conn); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the statement ends with %v", err)
			}
			_ = conn.Close()
			if conn, err = db.Conn(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if second := session(conn); second == first {
				t.Error("the session is used again")
			}
		})
	}
}

// A context that ends after its statement changes nothing, nor does one that ended
// before it.
func TestContextBesideStatement(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := conn.ExecContext(ctx, "DO 1"); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := conn.ExecContext(ctx, "DO 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "DO 1"); err != nil {
		t.Error("the same session afterwards:", err)
	}
}

// Who needs the session of the driver gets it.
func TestUnwrap(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	err = conn.Raw(func(session any) error {
		of := session.(interface{ Unwrap() driver.Conn }).Unwrap()
		_, err := of.(driver.ExecerContext).ExecContext(t.Context(), "DO 1", nil)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What a session executes for the second time is prepared, in a transaction as well,
// unless it may have rows, or many parameters, or too many others are.
func TestKeepsStatements(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	count := func(what string) (n int) { // of the one session that calls one after the other use
		t.Helper()
		if err := db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE '"+what+"'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	prepared, executed := count("Com_stmt_prepare"), count("Com_stmt_execute")
	check := func(what string, wantPrepared, wantExecuted int) {
		t.Helper()
		p, e := count("Com_stmt_prepare"), count("Com_stmt_execute")
		if p-prepared != wantPrepared || e-executed != wantExecuted {
			t.Errorf("%s: %d statements were prepared, and executed %d times, want %d and %d", what, p-prepared, e-executed, wantPrepared, wantExecuted)
		}
		prepared, executed = p, e
	}
	many := make([]any, mostParameters+1)
	for i := range 10 {
		exec("INSERT INTO messages (body) VALUES (?)", i)
		exec("DO ?", i)
		exec("SELECT ?", i)
		exec("INSERT INTO messages (body) VALUES ('without a parameter')")
		for j := range many {
			many[j] = j
		}
		exec("INSERT INTO messages (body) VALUES (?)"+strings.Repeat(", (?)", mostParameters), many...)
	}
	check("outside of a transaction", 1, 9)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES (?)", i); err != nil {
			t.Error(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	check("in a transaction", 0, 10)
	for i := range 2 * mostStatements {
		for range 2 {
			exec(fmt.Sprintf("INSERT INTO messages (body) VALUES (?) -- %d", i), i)
		}
	}
	check("many", mostStatements-1, mostStatements-1)
	for range 2 {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO nosuch (body) VALUES (?)", 1); err == nil {
			t.Error("a statement that can't be prepared has no error")
		}
	}
}

func TestGivesNoRows(t *testing.T) {
	for query, want := range map[string]bool{
		"INSERT INTO messages (body) VALUES (?)":              true,
		"update messages set body = ? where id = ?":           true,
		"INSERT INTO messages (body) VALUES (?) RETURNING id": false,
		"SELECT ?": false,
		" ":        false,
	} {
		if got := givesNoRows(query); got != want {
			t.Errorf("%s: %t", query, got)
		}
	}
}
