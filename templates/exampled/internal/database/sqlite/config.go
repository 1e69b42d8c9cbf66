// Package sqlite is the database SQLite, in a file and within the process, in
// pure Go (modernc.org/sqlite).
//
// A commit is on the disk when it returns (journal_mode WAL, synchronous FULL).
// All workers share one connection: SQLite has one writer at a time, and with
// more connections the losers poll for their turn, some for seconds, where
// database/sql lets them wait in a line; no throughput is gained. So a handler
// closes its rows before the next statement, and within a transaction uses that
// transaction only. The database may be read meanwhile, with the sqlite3 shell
// for instance.
package sqlite

import (
	"fmt"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/database"
)

// Config is the section [database.sqlite].
type Config struct {
	// Path is the file; "" is NAME.db in the state directory. Its folder must
	// exist and be writable, because there are two more files beside it.
	Path config.Path `toml:"path"`

	// BusyTimeout is how long to wait for other processes that write to the
	// same file.
	BusyTimeout config.Duration `toml:"busy_timeout"`
}

// Default returns the configuration that holds where the section says nothing.
func Default() database.Config {
	return &Config{BusyTimeout: config.Duration(5 * time.Second)}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	// SQLite counts in milliseconds, with 32 bits.
	const most = config.Duration(24 * time.Hour)
	if c.BusyTimeout > most {
		report("busy_timeout", fmt.Sprintf("must be at most %s, is %s", most, c.BusyTimeout))
	}
}
