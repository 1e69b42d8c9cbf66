// Migrations, and the lock that keeps them apart.

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/pressly/goose/v3"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/migrate"
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
		TryLock: func(context.Context) (bool, error) { return tryLock(folder) },
	}.Up(ctx)
	if err != nil {
		return applied, fmt.Errorf("database %q: %w", path, err)
	}
	return applied, nil
}

func tryLock(folder *os.File) (bool, error) {
	err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}
