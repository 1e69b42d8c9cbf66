// Statements that end with their context, at no cost while it goes on.

package mysql

import (
	"context"
	"database/sql/driver"
	"net"
	"slices"
	"strings"
	"sync/atomic"
)

// The driver has a goroutine beside each session that is told of every statement
// and of its end. For a short INSERT to a server nearby these hand-overs are a
// tenth of the time. What a context does here instead, when it ends, is what that
// goroutine does: it closes the connection.

// driverConn is what the driver's sessions can do.
type driverConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// A session is one of the driver's, whose statements without rows end with their
// context by themselves. All else is the driver's. [sql.Conn.Raw] gives a function a
// session; its method Unwrap leads to that of the driver.
type session struct {
	driverConn
	link     *link
	prepared map[string]driver.StmtExecContext // nil: executed once so far
}

// Small statements without rows are prepared when a session executes them for the
// second time: else the server reads each anew, which for one message is a twentieth of
// the time. A batch of each size is another statement. The server has room for 16382, by
// default, of all sessions of all its clients.
const (
	mostStatements = 32
	mostParameters = 48
)

// Unwrap returns the session of the driver.
func (s *session) Unwrap() driver.Conn { return s.driverConn }

// ExecContext implements driver.ExecerContext.
func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) > 0 && len(args) <= mostParameters {
		if statement := s.prepare(ctx, query); statement != nil {
			return statement.ExecContext(ctx, args)
		}
	}
	return s.link.exec(ctx, func(ctx context.Context) (driver.Result, error) {
		return s.driverConn.ExecContext(ctx, query, args)
	})
}

// prepare returns a statement that is ready to be executed; nil if it is not kept, or
// can't be prepared: then to execute it tells why, if that fails as well.
func (s *session) prepare(ctx context.Context, query string) driver.StmtExecContext {
	statement, seen := s.prepared[query]
	switch {
	case statement != nil || !seen && (len(s.prepared) == mostStatements || !givesNoRows(query)):
		return statement
	case !seen:
		if s.prepared == nil {
			s.prepared = make(map[string]driver.StmtExecContext)
		}
		s.prepared[query] = nil
		return nil
	}
	if made, err := s.PrepareContext(ctx, query); err == nil {
		statement, _ = made.(driver.StmtExecContext)
		s.prepared[query] = statement
	}
	return statement
}

// PrepareContext implements driver.ConnPrepareContext.
func (s *session) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	made, err := s.driverConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if of, ok := made.(driverStmt); ok {
		return &statement{of, s.link}, nil
	}
	return made, nil
}

// IsValid implements driver.Validator.
func (s *session) IsValid() bool { return !s.link.cut.Load() && s.driverConn.IsValid() }

// driverStmt is what the driver's prepared statements can do.
type driverStmt interface {
	driver.Stmt
	driver.NamedValueChecker
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement is a prepared statement of a session.
type statement struct {
	driverStmt
	link *link
}

// ExecContext implements driver.StmtExecContext.
func (s *statement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.link.exec(ctx, func(ctx context.Context) (driver.Result, error) {
		return s.driverStmt.ExecContext(ctx, args)
	})
}

// link is the connection to the server.
type link struct {
	net.Conn
	cut atomic.Bool // a context has ended: it is closed, or about to be
}

// exec has f execute a statement, with a context that does not end. When ctx does,
// the connection is closed, and f fails.
func (l *link) exec(ctx context.Context, f func(context.Context) (driver.Result, error)) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ctx.Done() == nil {
		return f(ctx)
	}
	goesOn := context.AfterFunc(ctx, func() { _ = l.Close() })
	result, err := f(context.WithoutCancel(ctx))
	if goesOn() {
		return result, err
	}
	l.cut.Store(true)
	if err != nil {
		return nil, ctx.Err()
	}
	return result, nil
}

// linkKey is the key under which a context of connector.Connect has room for the
// *link that is made.
type linkKey struct{}

// dial makes the connection of a session.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if l, ok := ctx.Value(linkKey{}).(*link); ok {
		l.Conn = nc
	}
	return nc, nil
}

// givesNoRows reports whether a statement is one that can't have rows as its result.
// The driver (1.10) may wait for ever when one that has rows is prepared, and then
// executed for the second time by Exec: MariaDB does not repeat what the columns are,
// and it expects that.
func givesNoRows(query string) bool {
	words := strings.Fields(strings.ToUpper(query))
	return len(words) > 0 && slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "REPLACE"}, words[0]) &&
		!slices.ContainsFunc(words, func(word string) bool { return strings.Contains(word, "RETURNING") })
}
