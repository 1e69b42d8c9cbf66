// Package mysql is the database MySQL or MariaDB, on a server
// (github.com/go-sql-driver/mysql).
//
// A statement that has parameters takes one round trip, because they are put
// into it here: with them a batch of any size is one packet, and nothing is
// prepared that only fits a batch of that size. A value that would make a
// packet too large for the server goes in pieces, as part of a prepared
// statement.
package mysql

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"example.com/fee/internal/config"
	"example.com/fee/internal/database"
)

// Config is the section [database.mysql].
type Config struct {
	// Host is a name or address; one that begins with "/" is a unix socket.
	Host string `toml:"host"`
	Port int    `toml:"port"`

	// User and Name, of the database, are the name of the service if they are
	// empty, with "_" for "-".
	User     string        `toml:"user"`
	Password config.Secret `toml:"password"`
	Name     string        `toml:"name"`

	// TLS is "false", "true", "skip-verify" (any certificate will do) or
	// "preferred" (that, and only if the server can). CAFile holds the
	// certificates that sign the server's, instead of those of the system.
	TLS    string      `toml:"tls"`
	CAFile config.Path `toml:"ca_file"`

	// Compress has both sides compress what they send, if the server can.
	Compress bool `toml:"compress"`

	// MaxAllowedPacket is the size of the largest packet to send; 0 asks each
	// server for its own.
	MaxAllowedPacket config.Size `toml:"max_allowed_packet"`

	// ConnectTimeout bounds all that it takes to make a connection.
	ConnectTimeout config.Duration `toml:"connect_timeout"`

	// ReadTimeout and WriteTimeout bound each wait for the server; 0 is no
	// bound but that of the context.
	ReadTimeout  config.Duration `toml:"read_timeout"`
	WriteTimeout config.Duration `toml:"write_timeout"`

	// DSN is all of the above in the form of the driver,
	// user:password@tcp(host:port)/name?param=value.
	DSN config.Secret `toml:"dsn"`
}

// Default returns the configuration that holds where the section says nothing.
func Default() database.Config {
	c := defaults
	return &c
}

var defaults = Config{
	Host:           "127.0.0.1",
	Port:           3306,
	TLS:            "false",
	ConnectTimeout: config.Duration(5 * time.Second),
}

// What a packet may be: less is of no use, and no server takes more.
const (
	minPacket = 1 << 10
	maxPacket = 1 << 30
)

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
	if modes := []string{"false", "true", "skip-verify", "preferred"}; !slices.Contains(modes, c.TLS) {
		report("tls", fmt.Sprintf("must be one of %s, is %q", strings.Join(modes, ", "), c.TLS))
	}
	if c.CAFile != "" && c.TLS != "true" {
		report("ca_file", fmt.Sprintf(`needs tls = "true", which is %q`, c.TLS))
	}
	if n := c.MaxAllowedPacket; n != 0 && (n < minPacket || n > maxPacket) {
		report("max_allowed_packet", fmt.Sprintf("must be 0B, to ask the server, or at least %s and at most %s, is %s",
			config.Size(minPacket), config.Size(maxPacket), n))
	}
	if c.ConnectTimeout <= 0 {
		report("connect_timeout", fmt.Sprintf("must be more than 0s, is %s", c.ConnectTimeout))
	}
}

func (c *Config) validateDSN(report func(key, reason string)) {
	others := *c
	others.DSN = ""
	if others != defaults {
		report("dsn", "says all that the other keys of the section do, which are not to be there then")
		return
	}
	if _, err := parse(c.DSN); err != nil {
		report("dsn", err.Error())
	}
}

// parse reads a DSN. Its errors quote nothing, because what the driver takes
// for the name of a parameter may be part of a password.
func parse(dsn config.Secret) (*mysql.Config, error) {
	settings, err := mysql.ParseDSN(dsn.Reveal())
	if err != nil {
		return nil, fmt.Errorf("is not of the form user:password@tcp(host:port)/name?param=value, with parameters that the driver knows")
	}
	return settings, nil
}
