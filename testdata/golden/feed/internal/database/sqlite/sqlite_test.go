package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"modernc.org/sqlite"

	"example.com/feed/internal/config"
	"example.com/feed/internal/database"
	"example.com/feed/internal/database/databasetest"
	"example.com/feed/internal/filelock"
	"example.com/feed/internal/leftout"
)

func TestSQLite(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Place {
		return inFolder(t.TempDir())
	})
}

func TestMain(m *testing.M) { databasetest.Main(m, inFolder) }

// inFolder is the database by default of a service with this state directory.
func inFolder(folder string) databasetest.Place {
	return databasetest.Place{Config: Default(), StateDir: folder, Name: folder}
}

func TestUnusable(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(folder, "missing")
	unwritable := func(folder, reason string) string {
		return fmt.Sprintf("the folder of the database, %q, must exist and be writable: %s", folder, reason)
	}
	tests := []struct{ name, path, names string }{
		{"no folder", filepath.Join(missing, "a.db"), unwritable(missing, "no such file")},
		{"a file as folder", filepath.Join(text, "a.db"), unwritable(text, "not a directory")},
		{"a folder that takes no file", "/proc/a.db", unwritable("/proc", "")}, // for root too
		{"a folder as file", folder, fmt.Sprintf("database %q: unable to open", folder)},
		{"not a database", text, fmt.Sprintf("database %q: file is not a database", text)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			databasetest.Unusable(t, databasetest.Place{Config: at(tt.path)}, tt.names)
		})
	}
	if leftout.IsOther() {
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
		if _, err := db.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES (?)", []byte("x")); err != nil {
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

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	databasetest.Migrations(t, func(ctx context.Context, log *slog.Logger, files fs.FS) ([]string, error) {
		connector, err := sqlite.NewConnector(dsn(path, time.Second))
		if err != nil {
			return nil, err
		}
		db := sql.OpenDB(connector)
		defer func() { _ = db.Close() }()
		db.SetMaxOpenConns(1)
		return migrateUp(ctx, db, path, database.Env{Name: "name", Log: log}, files)
	})
}

// As long as another process migrates a database in the folder, this one waits,
// until its context ends or it has its turn.
func TestMigrationsWait(t *testing.T) {
	p := inFolder(t.TempDir())
	folder, err := os.Open(p.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if locked, err := filelock.Try(folder); !locked {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	env := databasetest.Env(p)
	env.Log = slog.New(slog.NewTextHandler(writer(func(line string) {
		if strings.Contains(line, "another process migrates") {
			cancel()
		}
	}), nil))
	db, err := p.Config.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if applied, err := db.Migrate(ctx); !errors.Is(err, context.Canceled) || len(applied) != 0 {
		t.Errorf("applied %q, %v", applied, err)
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	if applied, err := db.Migrate(t.Context()); err != nil || len(applied) == 0 {
		t.Errorf("applied %q, %v", applied, err)
	}
}

// writer is a function of what is written, as text.
type writer func(text string)

func (w writer) Write(p []byte) (int, error) {
	w(string(p))
	return len(p), nil
}

// A migration that fails leaves nothing of itself.
func TestMigrationIsATransaction(t *testing.T) {
	p := inFolder(t.TempDir())
	db := open(t, p.Config, p.StateDir)
	path := filepath.Join(p.StateDir, "name.db")
	half := fstest.MapFS{"00003_half.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (a INT);\nINSERT INTO nowhere VALUES (1);")}}
	connector, err := sqlite.NewConnector(dsn(path, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	defer func() { _ = pool.Close() }()
	if _, err := migrateUp(t.Context(), pool, path, database.Env{Name: "name", Log: slog.New(slog.DiscardHandler)}, half); err == nil {
		t.Fatal("no error")
	}
	if _, err := db.ExecContext(t.Context(), "SELECT * FROM half"); err == nil {
		t.Error("half of a migration was applied")
	}
}

// What is stored can be typed into a shell, and found.
func TestBodyIsText(t *testing.T) {
	db := open(t, at(filepath.Join(t.TempDir(), "a.db")))
	if _, err := db.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES (?)", db.Bytes([]byte("hello"))); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM messages WHERE body = 'hello'").Scan(&n); err != nil || n != 1 {
		t.Errorf("found %d rows, %v", n, err)
	}
}

// The errors of SQLite, as it gives them.
func TestClasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	c := at(path).(*Config)
	c.BusyTimeout = 0
	db, other := open(t, c), open(t, c)
	const insert = "INSERT INTO messages (body) VALUES ('x')"
	exec := func(statement string) error {
		_, err := db.ExecContext(t.Context(), statement)
		return err
	}
	for _, test := range []struct {
		statement string
		want      database.Class
	}{
		{"INSERT INTO messages (id, body) VALUES ('x', 'x')", database.Permanent},         // SQLITE_MISMATCH
		{"INSERT INTO messages (body) VALUES (zeroblob(2000000000))", database.Permanent}, // SQLITE_TOOBIG
		{"INSERT INTO messages (body) VALUES (NULL)", database.Permanent},
		{"SELECT no_such_column FROM messages", database.Retry},
	} {
		databasetest.Class(t, db, test.statement, exec(test.statement), test.want)
	}

	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	databasetest.Class(t, db, "another writer", exec(insert), database.Retry)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}

	for setting, undo := range map[string]string{
		"PRAGMA query_only = ON":    "PRAGMA query_only = OFF",
		"PRAGMA max_page_count = 1": "PRAGMA max_page_count = 1000000",
	} {
		if err := exec(setting); err != nil {
			t.Fatal(err)
		}
		databasetest.Class(t, db, setting, exec("INSERT INTO messages (body) VALUES (hex(zeroblob(100000)))"), database.Unavailable)
		if err := exec(undo); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec(insert); err != nil {
		t.Error(err)
	}
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = at(text).Open(t.Context(), database.Env{Name: "name"})
	databasetest.Class(t, db, "not a database", err, database.Unavailable)
}

// The time is UTC, with fractions of a second, and a person can read it.
func TestReceivedAt(t *testing.T) {
	db := open(t, at(filepath.Join(t.TempDir(), "a.db")))
	var text string
	if err := db.QueryRowContext(t.Context(), "INSERT INTO messages (body) VALUES ('x') RETURNING received_at").Scan(&text); err != nil {
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
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM messages").Scan(&n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO messages (body) VALUES (?)", []byte("x")); err != nil {
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
	env := databasetest.Env(databasetest.Place{StateDir: strings.Join(stateDir, "")})
	env.Name = "name"
	db, err := c.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
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
