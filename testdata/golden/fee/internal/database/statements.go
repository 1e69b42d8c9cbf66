// Statements that are prepared once, where each time would take longer.

package database

import (
	"context"
	"database/sql"
	"sync"
)

// Keep bounds which statements are kept, and how many. A batch of each size is
// another statement, and a large one takes a database, or its server for each
// connection, hundreds of kilobytes.
type Keep struct {
	Statements int // so many at most
	Parameters int // those that have at most so many
}

// statements are those that a pool has executed, by their text. They end with the
// pool.
type statements struct {
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

// prepare returns a statement that is ready to be executed; nil if it is not kept,
// or can't be prepared: then to execute it tells why, if that fails as well.
func (p *pool) prepare(ctx context.Context, query string) *sql.Stmt {
	s := &p.statements
	s.mu.Lock()
	statement, full := s.prepared[query], len(s.prepared) == p.Keep.Statements
	s.mu.Unlock()
	if statement != nil || full {
		return statement
	}
	// It may wait for a connection, so others must not wait for it.
	statement, err := p.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.prepared[query]; other != nil {
		_ = statement.Close() // another goroutine was faster
		return other
	}
	if s.prepared == nil {
		s.prepared = make(map[string]*sql.Stmt)
	}
	s.prepared[query] = statement
	return statement
}

// exec executes a statement, prepared if the kind of database is served by that.
func (p *pool) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	if len(args) <= p.Keep.Parameters {
		if statement := p.prepare(ctx, query); statement != nil {
			return statement.ExecContext(ctx, args...)
		}
	}
	return p.ExecContext(ctx, query, args...)
}
