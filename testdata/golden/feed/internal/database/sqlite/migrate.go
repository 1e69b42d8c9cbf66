// Migrations, and the lock that keeps them apart.

package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"example.com/feed/internal/database"
	"example.com/feed/internal/database/migrate"
	"example.com/feed/internal/filelock"
)

// migrateUp applies the migrations in files that are pending, under a lock on the folder
// of the database. It can't be on the file: whoever closes a descriptor of that
// takes from SQLite the locks of the whole process. A file of our own would be
// left behind.
func migrateUp(ctx context.Context, db *sql.DB, path string, env database.Env, files fs.FS) ([]string, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("database %q: %w", path, err)
	}
	defer func() { _ = folder.Close() }() // and the lock is gone
	applied, err := migrate.Set{
		Dialect: goose.DialectSQLite3,
		DB:      db,
		Files:   files,
		Table:   env.Table() + "_migrations",
		Log:     env.Log,
		TryLock: func(context.Context) (bool, error) { return filelock.Try(folder) },
	}.Up(ctx)
	if err != nil {
		return applied, fmt.Errorf("database %q: %w", path, err)
	}
	return applied, nil
}
