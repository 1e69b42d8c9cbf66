// Migrations, and the lock that keeps them apart.

package postgres

import (
	"context"
	"database/sql"
	"hash/fnv"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/migrate"
)

// migrateUp applies the migrations in files that are pending, with connections of its
// own: one holds the lock, which ends with it, whatever happens.
//
// A pooler such as PgBouncer has to keep the session of a client for the lock
// to hold (pool_mode = session); else the first start is to be that of one
// process.
func migrateUp(ctx context.Context, s *pgx.ConnConfig, env database.Env, files fs.FS) ([]string, error) {
	pool := stdlib.OpenDB(*s)
	defer func() { _ = pool.Close() }()
	lock, err := pool.Conn(ctx)
	if err != nil {
		return nil, about(s, err)
	}
	defer func() { _ = lock.Close() }()
	versions := env.Table() + "_migrations"
	applied, err := migrate.Set{
		Dialect: goose.DialectPostgres,
		DB:      pool,
		Files:   files,
		Table:   versions,
		Log:     env.Log,
		TryLock: func(ctx context.Context) (bool, error) { return tryLock(ctx, lock, versions) },
	}.Up(ctx)
	if err != nil {
		return applied, about(s, err)
	}
	return applied, nil
}

// tryLock tries to have the lock of the database for one session. Names of locks
// are numbers.
func tryLock(ctx context.Context, session *sql.Conn, of string) (locked bool, err error) {
	name := fnv.New64a()
	_, _ = name.Write([]byte(of))
	err = session.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", int64(name.Sum64())).Scan(&locked)
	return locked, err
}
