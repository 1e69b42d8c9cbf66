package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/database"
	"example.com/feed/internal/database/databasetest"
)

func TestSQLite(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Place {
		return databasetest.Place{Config: Default(), StateDir: t.TempDir()}
	})
}

func TestUnusable(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(folder, "missing")
	inFolder := func(folder, reason string) string {
		return fmt.Sprintf("the folder of the database, %q, must exist and be writable: %s", folder, reason)
	}
	tests := []struct{ name, path, names string }{
		{"no folder", filepath.Join(missing, "a.db"), inFolder(missing, "no such file")},
		{"a file as folder", filepath.Join(text, "a.db"), inFolder(text, "not a directory")},
		{"a folder that takes no file", "/proc/a.db", inFolder("/proc", "")}, // for root too
		{"a folder as file", folder, fmt.Sprintf("database %q: unable to open", folder)},
		{"not a database", text, fmt.Sprintf("database %q: file is not a database", text)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			databasetest.Unusable(t, databasetest.Place{Config: at(tt.path)}, tt.names)
		})
	}
	if os.Geteuid() != 0 { // who may write to it all the same
		closed := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		t.Run("no rights", func(t *testing.T) {
			databasetest.Unusable(t, databasetest.Place{Config: Default(), StateDir: closed}, closed)
		})
	}
}

// Every connection has the settings, also one that replaces another.
func TestSettings(t *testing.T) {
	db := open(t, at(filepath.Join(t.TempDir(), "a.db")))
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"}
	for range 2 {
		for pragma, value := range want {
			var got string
			if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != value {
				t.Errorf("%s is %q, %v, want %q", pragma, got, err, value)
			}
		}
		discardConnection(t, db)
	}
	if n := db.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("up to %d connections, want 1", n)
	}
}

// Whatever the path holds, it names one file.
func TestPath(t *testing.T) {
	for _, name := range []string{"plain.db", "with space.db", "a?b=c&d.db", "50%25.db", "a#b.db", "ü+;:@.db", "'\"\\.db", "?mode=memory"} {
		path := filepath.Join(t.TempDir(), name)
		db := open(t, at(path))
		if _, err := db.ExecContext(t.Context(), "INSERT INTO feed (body) VALUES (?)", []byte("x")); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q: not the file that was opened: %v", name, err)
		}
	}
}

func TestDefaultPath(t *testing.T) {
	folder := t.TempDir()
	open(t, Default(), folder)
	if _, err := os.Stat(filepath.Join(folder, "name.db")); err != nil {
		t.Error(err)
	}
}

// The time is UTC, with fractions of a second, and a person can read it.
func TestReceivedAt(t *testing.T) {
	db := open(t, at(filepath.Join(t.TempDir(), "a.db")))
	var text string
	if err := db.QueryRowContext(t.Context(), "INSERT INTO feed (body) VALUES ('x') RETURNING received_at").Scan(&text); err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", text); err != nil {
		t.Error(err)
	}
}

// A second writer waits for the first: transactions take the lock for writing
// when they begin, and one that reads first can write later.
func TestWritersWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	one, two := open(t, at(path)), open(t, at(path))
	done := make(chan error, 2)
	for i, db := range []*database.DB{one, two} {
		go func() {
			for range 50 {
				if err := readThenWrite(t.Context(), db); err != nil {
					done <- fmt.Errorf("writer %d: %w", i, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func readThenWrite(ctx context.Context, db *database.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM feed").Scan(&n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO feed (body) VALUES (?)", []byte("x")); err != nil {
		return err
	}
	return tx.Commit()
}

func TestValidate(t *testing.T) {
	c := &Config{BusyTimeout: config.Duration(48 * time.Hour)}
	var got []string
	c.Validate(func(key, reason string) { got = append(got, key+" "+reason) })
	if want := "busy_timeout must be at most 24h0m0s, is 48h0m0s"; strings.Join(got, "; ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func at(path string) database.Config {
	c := Default().(*Config)
	c.Path = config.Path(path)
	return c
}

func open(t *testing.T, c database.Config, stateDir ...string) *database.DB {
	t.Helper()
	env := database.Env{Name: "name", StateDir: strings.Join(stateDir, "")}
	db, err := c.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// discardConnection makes the pool open another one.
func discardConnection(t *testing.T, db *database.DB) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}
