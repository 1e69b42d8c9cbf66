// Package database is the socket into which databases are plugged: each is a
// folder beside this file, listed in internal/wire, with a section
// [database.NAME] in the configuration. A service has one database or none.
package database

import (
	"context"
	"database/sql"
	"log/slog"

	"example.com/feed/internal/config"
)

// Config is one section [database.NAME]: a pointer to a struct that holds the
// defaults until the configuration is decoded over them.
type Config interface {
	config.Section

	// Open connects, creates the tables that are missing, and returns once a
	// statement would succeed. The caller closes what it returns. An error says
	// which file or server it is about.
	Open(ctx context.Context, env Env) (*DB, error)
}

// Env is what the service gives to a database.
type Env struct {
	Name     string // of the service; the name of a file or database by default
	Log      *slog.Logger
	StateDir string // absolute; where a database in a file lives by default
	Workers  int    // how many goroutines will use the database at once
}

// DB is the pool of connections that all workers share.
type DB struct {
	*sql.DB

	// Placeholder writes the n-th parameter of a statement, from 1, as the
	// database wants it; nil for those that take the question mark.
	Placeholder func(n int) string
}
