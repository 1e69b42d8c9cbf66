// Statements that are prepared once, where each time would take longer.

package database

import (
	"context"
	"database/sql"
	"sync"
)

// What is kept is bounded: a batch of each size is another statement, and a large
// one takes a database, or its server for each connection, hundreds of kilobytes.
const (
	maxStatements = 128
	maxParameters = 32
)

// statements are those that a pool has executed, by their text. They end with the
// pool.
type statements struct {
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

// prepare returns a statement that is ready to be executed; nil if it is not worth
// to be kept.
func (s *statements) prepare(ctx context.Context, on *sql.DB, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	statement, full := s.prepared[query], len(s.prepared) == maxStatements
	s.mu.Unlock()
	if statement != nil || full {
		return statement, nil
	}
	// It may wait for a connection, so others must not wait for it.
	statement, err := on.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.prepared[query]; other != nil {
		_ = statement.Close() // another goroutine was faster
		return other, nil
	}
	if s.prepared == nil {
		s.prepared = make(map[string]*sql.Stmt)
	}
	s.prepared[query] = statement
	return statement, nil
}

// exec executes a statement, prepared if the kind of database is served by that.
func (p *pool) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if !p.KeepStatements || len(args) > maxParameters {
		return p.ExecContext(ctx, query, args...)
	}
	statement, err := p.statements.prepare(ctx, p.DB, query)
	if err != nil {
		return nil, err
	}
	if statement == nil {
		return p.ExecContext(ctx, query, args...)
	}
	return statement.ExecContext(ctx, args...)
}
