// Package database is the socket into which databases are plugged: each is a
// folder beside this file, listed in internal/wire, with a section
// [database.NAME] in the configuration. A service has one database or none.
package database

import (
	"context"
	"io/fs"
	"log/slog"
	"time"

	"example.com/fee/internal/config"
)

// Config is one section [database.NAME]: a pointer to a struct that holds the
// defaults until the configuration is decoded over them.
type Config interface {
	config.Section

	// Open connects and returns once a statement would succeed; the tables are
	// made by DB.Migrate. The caller closes what it returns. An error says which
	// file or server it is about, never tells a password, and is an
	// UnavailableError where another attempt makes sense: after a few seconds, of
	// a server that says nothing. It ends early when ctx does, which has no
	// meaning for what it has returned.
	//
	// A reload opens the database a second time, while the first is in use.
	Open(ctx context.Context, env Env) (*DB, error)
}

// Remote is a Config of a database on a server, which may be away, and which not
// every test can have.
type Remote interface {
	Config

	// Remote does nothing: it is the mark of such a database.
	Remote()
}

// Env is what the service gives to a database.
type Env struct {
	Name     string // of the service; the name of a file or database by default
	Log      *slog.Logger
	StateDir string // absolute; where a database in a file lives by default
	Workers  int    // how many goroutines will use the database at once, see Options.Resize

	// What a pool of connections to a server is bound by; a database in a file
	// has its own rules.
	Connections int           // most connections; 0: Workers + 2
	MaxLifetime time.Duration // of a connection; 0: no end
	MaxIdleTime time.Duration // after which a connection is closed; 0: never

	Migrations fs.FS // what makes the tables; nil: those of the service
}

// Files returns the migrations to apply, given those of the service.
func (e Env) Files(own fs.FS) fs.FS {
	if e.Migrations != nil {
		return e.Migrations
	}
	return own
}
