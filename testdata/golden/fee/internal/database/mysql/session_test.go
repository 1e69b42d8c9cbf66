package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
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

// What is executed again and again is prepared once for a session, unless it may
// have rows, or many parameters.
func TestKeepsStatements(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	count := func(what string) (n int) { // of the one session that calls one after the other use
		t.Helper()
		if err := db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE '"+what+"'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, test := range []struct {
		query string
		args  []any
		kept  bool
	}{
		{"INSERT INTO messages (body) VALUES (?)", []any{"x"}, true},
		{"update messages set body = ? where id = ?", []any{"y", 1}, true},
		{"INSERT INTO messages (body) VALUES (?), (?), (?), (?), (?)", []any{1, 2, 3, 4, 5}, false},
		{"INSERT INTO messages (body) VALUES (?) RETURNING id", []any{"x"}, false},
		{"SELECT ?", []any{1}, false},
		{" ", nil, false},
	} {
		if kept := givesNoRows(test.query) && len(test.args) <= 4; kept != test.kept {
			t.Errorf("%s: kept %t", test.query, kept)
		}
	}
	prepared, executed := count("Com_stmt_prepare"), count("Com_stmt_execute")
	for i := range 10 {
		for _, query := range []string{"INSERT INTO messages (body) VALUES (?)", "DO ?", "SELECT ?"} {
			if _, err := db.ExecContext(t.Context(), query, i); err != nil {
				t.Errorf("%s: %v", query, err)
			}
		}
	}
	prepared, executed = count("Com_stmt_prepare")-prepared, count("Com_stmt_execute")-executed
	if prepared != 1 || executed != 10 {
		t.Errorf("%d statements were prepared, and executed %d times", prepared, executed)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO nosuch (body) VALUES (?)", 1); err == nil {
		t.Error("a statement that can't be prepared has no error")
	}
}
