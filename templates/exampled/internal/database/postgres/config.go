// Package postgres is the database PostgreSQL, on a server
// (github.com/jackc/pgx/v5, by way of database/sql).
//
// Statements are prepared and remembered by each connection, so that a call takes
// one round trip and the server plans none twice: a message of a batch costs it
// half of what it does with statements that have no name. A pooler that gives
// each transaction another session has to know of this (PgBouncer 1.21 does); for
// one that does not, have default_query_exec_mode=cache_describe in the dsn.
package postgres

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/database"
)

// Config is the section [database.postgres].
type Config struct {
	// Host is a name or address; one that begins with "/" is the folder of a
	// unix socket.
	Host string `toml:"host"`
	Port int    `toml:"port"`

	// User and Name, of the database, are the name of the service if they are
	// empty, with "_" for "-".
	User     string        `toml:"user"`
	Password config.Secret `toml:"password"`
	Name     string        `toml:"name"`

	// SSLMode is that of libpq: disable, allow, prefer, require, verify-ca or
	// verify-full. CAFile holds the certificates that sign the server's.
	SSLMode string      `toml:"sslmode"`
	CAFile  config.Path `toml:"ca_file"`

	// ConnectTimeout bounds all that it takes to make a connection.
	ConnectTimeout config.Duration `toml:"connect_timeout"`

	// DSN is all of the above as libpq takes it, and more: a URL
	// postgres://user:password@host:port/name?key=value or a list of
	// key=value.
	DSN config.Secret `toml:"dsn"`
}

// Default returns the configuration that holds where the section says nothing.
func Default() database.Config {
	c := defaults
	return &c
}

var defaults = Config{
	Host:           "127.0.0.1",
	Port:           5432,
	SSLMode:        "prefer",
	ConnectTimeout: config.Duration(5 * time.Second),
}

// Remote implements database.Remote.
func (c *Config) Remote() {}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if c.DSN != "" {
		c.validateDSN(report)
		return
	}
	if c.Host == "" {
		report("host", "must not be empty")
	}
	if c.Port < 1 || c.Port > 65535 {
		report("port", fmt.Sprintf("must be at least 1 and at most 65535, is %d", c.Port))
	}
	if modes := []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}; !slices.Contains(modes, c.SSLMode) {
		report("sslmode", fmt.Sprintf("must be one of %s, is %q", strings.Join(modes, ", "), c.SSLMode))
	}
	if c.CAFile != "" && !strings.HasPrefix(c.SSLMode, "verify-") {
		report("ca_file", fmt.Sprintf(`needs an sslmode that verifies, "verify-full" or "verify-ca", which is %q`, c.SSLMode))
	}
	if c.ConnectTimeout <= 0 {
		report("connect_timeout", fmt.Sprintf("must be more than 0s, is %s", c.ConnectTimeout))
	}
}

// validateDSN looks at the form only: to read a DSN is to read the files that it
// names.
func (c *Config) validateDSN(report func(key, reason string)) {
	others := *c
	others.DSN = ""
	if others != defaults {
		report("dsn", "says all that the other keys of the section do, which are not to be there then")
		return
	}
	dsn := c.DSN.Reveal()
	if isURL(dsn) {
		if _, err := url.Parse(dsn); err == nil {
			return
		}
	} else if strings.Contains(dsn, "=") {
		return
	}
	report("dsn", wrongDSN)
}

// wrongDSN quotes nothing, because it takes a DSN that is right to tell what is
// the password.
const wrongDSN = "is neither of the form postgres://user:password@host:port/name?key=value nor a list of key=value"

func isURL(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}
