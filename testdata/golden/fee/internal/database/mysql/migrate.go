// Migrations, and the lock that keeps them apart.

package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"example.com/fee/internal/database"
	"example.com/fee/internal/database/migrate"
)

// migrateUp applies the migrations in files that are pending, with connections of its
// own: one holds the lock, which ends with it, whatever happens. They wait for
// as long as a change of a large table takes.
//
// In a Galera cluster the lock is one of the node alone, so there the first
// start is to be that of one process.
func (c *Config) migrateUp(ctx context.Context, s *mysql.Config, env database.Env, files fs.FS) ([]string, error) {
	s = s.Clone()
	s.ReadTimeout, s.WriteTimeout = 0, 0
	sessions, err := c.connector(s)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(sessions)
	defer func() { _ = pool.Close() }()
	lock, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("server %s, database %q: %w", s.Addr, s.DBName, err)
	}
	defer func() { _ = lock.Close() }()
	versions := env.Table() + "_migrations"
	applied, err := migrate.Set{
		Dialect: goose.DialectMySQL,
		DB:      pool,
		Files:   files,
		Table:   versions,
		Log:     env.Log,
		TryLock: func(ctx context.Context) (bool, error) { return tryLock(ctx, lock, versions) },
	}.Up(ctx)
	if err != nil {
		return applied, fmt.Errorf("server %s, database %q: %w", s.Addr, s.DBName, err)
	}
	return applied, nil
}

// tryLock tries to have the lock of the database for one session. Names of locks
// are those of the whole server, and have 64 characters at most.
func tryLock(ctx context.Context, session *sql.Conn, of string) (bool, error) {
	var locked sql.NullBool
	err := session.QueryRowContext(ctx, "SELECT GET_LOCK(SHA2(CONCAT(DATABASE(), '/', ?), 256), 0)", of).Scan(&locked)
	return locked.Bool, err
}
