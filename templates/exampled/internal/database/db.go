// The database as the handler holds it, while a reload may change what is
// behind it.

package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
)

// DB is the pool of connections that all workers share. A reload may exchange
// the pool: what has a connection by then keeps it to its end, be it a call, a
// *sql.Rows, a *sql.Tx or a *sql.Conn; all else goes to the new one. The methods
// may be called from any goroutine, and are those of [sql.DB] where the name is
// the same.
//
// There is no Prepare, because a statement belongs to one pool and would fail
// once that is gone. Prepare within a transaction or on a Conn.
type DB struct {
	current atomic.Pointer[pool]
}

// pool is what can be exchanged.
type pool struct {
	*sql.DB
	Options
	statements statements
}

// Options are the particulars of a kind of database.
type Options struct {
	// Placeholder writes the n-th parameter of a statement, from 1, as the
	// database wants it; nil for those that take the question mark.
	Placeholder func(n int) string

	// OnDuplicate returns what the INSERT ends in, if it is to leave out the rows
	// whose unique key is taken. See DB.SkipDuplicates.
	OnDuplicate func(insert string) string

	// Bytes makes a parameter of any bytes; nil where a []byte is one. See
	// DB.Bytes.
	Bytes func([]byte) any

	// Keep has small statements prepared once, for a driver that keeps none by
	// itself. Its zero value keeps none.
	Keep Keep

	// Resize is called when another number of goroutines than Env.Workers uses
	// the pool; nil if its size does not depend on that.
	Resize func(workers int)

	// Classify tells what can be done about an error of this kind of database;
	// nil: each may be worth a retry.
	Classify func(error) Class

	// Migrate applies the migrations that are pending, and returns their names
	// in order, also those of before an error; nil if there are none at all.
	Migrate func(ctx context.Context) ([]string, error)
}

// New returns the DB of an open pool, which belongs to it from now on.
func New(of *sql.DB, options Options) *DB {
	db := &DB{}
	db.current.Store(&pool{DB: of, Options: options})
	return db
}

// Exchange has calls use the pool of another DB, for the same kind of database,
// from now on; the other DB is not to be used any more, nor closed. The old pool
// is closed in a goroutine, which hands the result to closed. Exchange does not
// block.
func (db *DB) Exchange(with *DB, closed func(error)) {
	old := db.current.Swap(with.current.Load())
	go func() { closed(old.Close()) }()
}

// Resize says how many goroutines use the database from now on.
func (db *DB) Resize(workers int) {
	if resize := db.current.Load().Resize; resize != nil {
		resize(workers)
	}
}

// Migrate applies the migrations that are pending, and returns their names in
// order, also those of before an error. What is under way elsewhere is waited
// for, and not done twice.
func (db *DB) Migrate(ctx context.Context) ([]string, error) {
	if migrate := db.current.Load().Migrate; migrate != nil {
		return migrate(ctx)
	}
	return nil, nil
}

// Close closes the pool, as sql.DB does: what has a connection keeps it to its
// end. It may be called twice.
func (db *DB) Close() error { return db.current.Load().Close() }

// errClosed is what database/sql says to a call that finds its pool closed, now
// or while it waits for a connection: in any case before it has one.
var errClosed = func() error {
	pool := sql.OpenDB(noConnector{})
	_ = pool.Close()
	return pool.Ping()
}()

type noConnector struct{}

func (noConnector) Connect(context.Context) (driver.Conn, error) { return nil, driver.ErrBadConn }
func (noConnector) Driver() driver.Driver                        { return nil }

// call makes a call to the pool, and to the next one if that was exchanged
// before the call had a connection.
func call[T any](db *DB, f func(pool *pool) (T, error)) (T, error) {
	for {
		pool := db.current.Load()
		result, err := f(pool)
		if !errors.Is(err, errClosed) || db.current.Load() == pool {
			return result, err
		}
	}
}

// ExecContext is that of sql.DB.
func (db *DB) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return call(db, func(pool *pool) (sql.Result, error) { return pool.exec(ctx, query, args) })
}

// QueryContext is that of sql.DB.
func (db *DB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return call(db, func(pool *pool) (*sql.Rows, error) { return pool.QueryContext(ctx, query, args...) })
}

// QueryRowContext is that of sql.DB.
func (db *DB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row, _ := call(db, func(pool *pool) (*sql.Row, error) {
		row := pool.QueryRowContext(ctx, query, args...)
		return row, row.Err()
	})
	return row // with its error
}

// BeginTx is that of sql.DB.
func (db *DB) BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error) {
	return call(db, func(pool *pool) (*sql.Tx, error) { return pool.BeginTx(ctx, opts) })
}

// Conn is that of sql.DB.
func (db *DB) Conn(ctx context.Context) (*sql.Conn, error) {
	return call(db, func(pool *pool) (*sql.Conn, error) { return pool.Conn(ctx) })
}

// PingContext is that of sql.DB.
func (db *DB) PingContext(ctx context.Context) error {
	_, err := call(db, func(pool *pool) (struct{}, error) { return struct{}{}, pool.PingContext(ctx) })
	return err
}

// Stats is that of sql.DB, of the pool in use.
func (db *DB) Stats() sql.DBStats { return db.current.Load().Stats() }

// Exec is ExecContext without an end.
func (db *DB) Exec(query string, args ...any) (sql.Result, error) {
	return db.ExecContext(context.Background(), query, args...)
}

// Query is QueryContext without an end.
func (db *DB) Query(query string, args ...any) (*sql.Rows, error) {
	return db.QueryContext(context.Background(), query, args...)
}

// QueryRow is QueryRowContext without an end.
func (db *DB) QueryRow(query string, args ...any) *sql.Row {
	return db.QueryRowContext(context.Background(), query, args...)
}

// Begin is BeginTx without an end, and with the default options.
func (db *DB) Begin() (*sql.Tx, error) { return db.BeginTx(context.Background(), nil) }

// Ping is PingContext without an end.
func (db *DB) Ping() error { return db.PingContext(context.Background()) }
