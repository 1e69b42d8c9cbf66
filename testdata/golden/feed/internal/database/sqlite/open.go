// Opening the database: what is checked first, set on every connection, and
// verified afterwards.

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"example.com/feed/internal/database"
	migrations "example.com/feed/migrations/sqlite"
)

// Open implements database.Config.
func (c *Config) Open(ctx context.Context, env database.Env) (*database.DB, error) {
	path := string(c.Path)
	if path == "" {
		path = filepath.Join(env.StateDir, env.Name+".db")
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(dsn(path, time.Duration(c.BusyTimeout)))
	if err != nil {
		return nil, fmt.Errorf("database %q: %w", path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	if err := begin(ctx, db, time.Duration(c.BusyTimeout)); err != nil {
		return nil, errors.Join(fmt.Errorf("database %q: %w", path, err), db.Close())
	}
	return database.New(db, database.Options{
		OnDuplicate: database.DoNothing,
		Bytes:       text,
		Keep:        database.Keep{Statements: 128, Parameters: 32}, // a batch of each size is one
		Classify:    classify,
		Migrate: func(ctx context.Context) ([]string, error) {
			return migrateUp(ctx, db, path, env, env.Files(migrations.Files))
		},
	}), nil
}

// text makes any bytes a TEXT, which SQLite keeps as they are. A BLOB of the
// same bytes would equal none that is typed into a shell.
func text(b []byte) any { return string(b) }

// checkFolder makes sure of what SQLite fails over later, or with words that
// help nobody.
func checkFolder(folder string) error {
	probe, err := os.CreateTemp(folder, ".writable-*")
	if err == nil {
		return errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return fmt.Errorf("the folder of the database, %q, must exist and be writable: %w", folder, err)
}

// dsn names the file and what holds for every connection to it. In a URI, any
// path will do; all transactions take the lock for writing at once, because one
// that wants it later fails instead of waiting.
func dsn(path string, busyTimeout time.Duration) string {
	options := url.Values{
		"_busy_timeout": {strconv.FormatInt(busyTimeout.Milliseconds(), 10)},
		"_error_rc":     {"1"}, // else a wrong path is "out of memory"
		"_foreign_keys": {"ON"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
	}
	uri := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	return uri.String()
}

// begin makes the first connection. SQLite does not wait, whatever its timeout is,
// for another process that is about to change a new file to WAL as well: so that is
// done here.
func begin(ctx context.Context, db *sql.DB, busyTimeout time.Duration) error {
	const pause = 10 * time.Millisecond
	for began := time.Now(); ; {
		err := verify(ctx, db)
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != codes.SQLITE_BUSY || time.Since(began) >= busyTimeout {
			return err
		}
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return err
		}
	}
}

// verify makes sure that the database keeps what it is given: SQLite goes on in
// another mode where it can't do WAL.
func verify(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal_mode is %q instead of wal: this file system can't do it, use a local one", mode)
	}
	return nil
}
