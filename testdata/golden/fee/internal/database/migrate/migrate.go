// Package migrate brings the tables of a database to what the program expects:
// it applies the files of SQL in migrations, in the order of their numbers, each
// once, and each in a transaction where the database can. It is there with
// every database.
//
// The files are read and the versions kept by goose (pressly/goose), whose
// command line understands them, too. What is added here is a lock that stands
// before all else: that of goose does not cover the making of its own table.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Set is the migrations of one database.
type Set struct {
	Dialect goose.Dialect
	DB      *sql.DB
	Files   fs.FS  // 00001_NAME.sql and so on
	Table   string // where the versions are kept that were applied
	Log     *slog.Logger

	// TryLock makes one attempt to keep all others, in this process and
	// elsewhere, from migrating the same database, until the caller of Up lets
	// them. It waits for nobody.
	TryLock func(ctx context.Context) (locked bool, err error)
}

// lockPoll is the time between two attempts to lock. To wait within a statement
// would be in the way of what waits for all statements to end, such as CREATE
// INDEX CONCURRENTLY in PostgreSQL.
const lockPoll = 20 * time.Millisecond

// Up applies the migrations that are pending, and returns the names of their
// files in order, also those of before an error. The error says which file and
// which statement of it failed; nothing after that was applied. A version in the
// database that is newer than the program's is logged and tolerated, so that one
// can go back to an older program.
func (s Set) Up(ctx context.Context) (applied []string, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, fmt.Errorf("lock the migrations: %w", err)
	}
	var follower follower
	provider, err := goose.NewProvider(s.Dialect, s.DB, s.Files, goose.WithTableName(s.Table),
		goose.WithDisableGlobalRegistry(true), goose.WithVerbose(true), goose.WithSlog(slog.New(&follower)))
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results = partial.Applied
		err = fmt.Errorf("migration %s: %w (statement: %s)", path.Base(partial.Failed.Source.Path), partial.Err, follower.statement)
	} else if err != nil {
		err = fmt.Errorf("migrations: %w", err)
	}
	for _, r := range results {
		applied = append(applied, path.Base(r.Source.Path))
	}
	if err != nil {
		return applied, err
	}
	return applied, s.tellNewer(ctx, provider)
}

// lock waits for its turn.
func (s Set) lock(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		locked, err := s.TryLock(ctx)
		if locked || err != nil {
			return err
		}
		if attempt == 0 {
			s.Log.Info("another process migrates the database, waiting for it")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// tellNewer warns of a database that a newer program has migrated.
func (s Set) tellNewer(ctx context.Context, provider *goose.Provider) error {
	current, latest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if current > latest {
		s.Log.Warn("the database was migrated by a newer version of the program; going on, for an older one should do with what it finds",
			"database", current, "program", latest)
	}
	return nil
}

// follower is a log that remembers the statement which goose is about to
// execute: its errors don't name it.
type follower struct{ statement string }

// longest is how much of a statement an error quotes, in bytes.
const longest = 100

func (f *follower) Enabled(context.Context, slog.Level) bool { return true }

func (f *follower) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "statement" {
			f.statement = oneLine(a.Value.String())
		}
		return true
	})
	return nil
}

func (f *follower) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f *follower) WithGroup(string) slog.Handler      { return f }

// oneLine is the beginning of a statement as one line.
func oneLine(statement string) string {
	text := strings.Join(strings.Fields(statement), " ")
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
