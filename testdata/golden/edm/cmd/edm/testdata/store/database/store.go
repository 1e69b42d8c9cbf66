// Package store is a database that does as a test wants: files in a folder say
// how it does. It is away while there is a file "away", and does not take the
// password while there is a file "wrong". The migrations that are pending are the
// lines of the file "pending"; one that is called "broken" fails.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"example.com/edm/internal/config"
	"example.com/edm/internal/database"
)

// Config is the section [database.store].
type Config struct {
	Folder   config.Path   `toml:"folder"`
	Password config.Secret `toml:"password"`
}

// Default returns the section with its defaults.
func Default() database.Config { return &Config{} }

// Validate implements config.Section.
func (c *Config) Validate(func(key, reason string)) {}

var errAway = errors.New("connection refused")

// Open implements database.Config. It leaves in the state directory what it was
// opened with: the password in the file "password".
func (c *Config) Open(ctx context.Context, env database.Env) (*database.DB, error) {
	if c.has("wrong") {
		return nil, errors.New("server store: access denied")
	}
	pool := sql.OpenDB(connector{c})
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(&database.UnavailableError{Err: fmt.Errorf("server store: %w", err)}, pool.Close())
	}
	pool.SetMaxOpenConns(env.Connections)
	if err := os.WriteFile(filepath.Join(env.StateDir, "password"), []byte(c.Password.Reveal()), 0o600); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	env.Log.Info("opened", "connections", env.Connections, "password", c.Password)
	return database.New(pool, database.Options{
		Migrate: func(context.Context) ([]string, error) { return c.migrate(env.StateDir) },
	}), nil
}

// migrate applies what is pending, once: that is in the file "applied" in the
// state directory.
func (c *Config) migrate(stateDir string) (names []string, err error) {
	pending, err := os.ReadFile(filepath.Join(string(c.Folder), "pending"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	path := filepath.Join(stateDir, "applied")
	done, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for name := range strings.Lines(string(pending)) {
		switch {
		case strings.Contains(string(done), name):
			continue
		case name == "broken\n":
			return names, errors.New("broken: syntax error")
		}
		done = append(done, name...)
		if err := os.WriteFile(path, done, 0o600); err != nil {
			return names, err
		}
		names = append(names, strings.TrimSpace(name))
	}
	return names, nil
}

func (c *Config) has(file string) bool {
	_, err := os.Stat(filepath.Join(string(c.Folder), file))
	return err == nil
}

func (c *Config) check() error {
	if c.has("away") {
		return errAway
	}
	return nil
}

type connector struct{ c *Config }

func (c connector) Connect(context.Context) (driver.Conn, error) { return conn(c), c.c.check() }
func (connector) Driver() driver.Driver                          { return nil }

type conn struct{ c *Config }

// Ping implements driver.Pinger.
func (c conn) Ping(context.Context) error { return c.c.check() }

func (conn) Prepare(string) (driver.Stmt, error) { return nil, driver.ErrSkip }
func (conn) Begin() (driver.Tx, error)           { return nil, driver.ErrSkip }
func (conn) Close() error                        { return nil }
