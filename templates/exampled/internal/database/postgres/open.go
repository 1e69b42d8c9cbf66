// Opening the database: what holds for every session, and the first one.

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	migrations "github.com/daemongen/daemongen/templates/exampled/migrations/postgres"
)

// Open implements database.Config.
func (c *Config) Open(ctx context.Context, env database.Env) (*database.DB, error) {
	settings, err := c.settings(env)
	if err != nil {
		return nil, err
	}
	pool := stdlib.OpenDB(*settings)
	resize := env.Bound(pool)
	if err := pool.PingContext(ctx); err != nil {
		_ = pool.Close()
		err = about(settings, err)
		return nil, database.OpenError(err, classify(err), rejected(err))
	}
	return database.New(pool, database.Options{
		Placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		Resize:      resize,
		OnDuplicate: database.DoNothing,
		Classify:    classify,
		Migrate: func(ctx context.Context) ([]string, error) {
			return migrateUp(ctx, settings, env, env.Files(migrations.Files))
		},
	}), nil
}

// statements is how many a connection remembers. A batch of each size is another
// one, and takes the server about 2 KB for each of its rows; the 512 of the
// driver would be 70 MB a connection for batches of up to 256.
const statements = 64

// settings returns what the driver is to know.
func (c *Config) settings(env database.Env) (*pgx.ConnConfig, error) {
	dsn := c.DSN.Reveal()
	if dsn == "" {
		dsn = c.fromKeys(env)
	}
	s, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, unusable(err)
	}
	if c.DSN == "" || s.ConnectTimeout == 0 {
		s.ConnectTimeout = time.Duration(c.ConnectTimeout)
	}
	for name, value := range map[string]string{"application_name": env.Name, "timezone": "UTC"} {
		if _, ok := s.RuntimeParams[name]; !ok {
			s.RuntimeParams[name] = value
		}
	}
	if !strings.Contains(dsn, "statement_cache_capacity") {
		s.StatementCacheCapacity = statements
	}
	return s, nil
}

// fromKeys writes the keys of the section as a list of key=value.
func (c *Config) fromKeys(env database.Env) string {
	user, name := c.User, c.Name
	if user == "" {
		user = env.Table()
	}
	if name == "" {
		name = env.Table()
	}
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var list strings.Builder
	for _, setting := range [][2]string{
		{"host", c.Host}, {"port", strconv.Itoa(c.Port)}, {"user", user}, {"password", c.Password.Reveal()},
		{"dbname", name}, {"sslmode", c.SSLMode}, {"sslrootcert", string(c.CAFile)},
	} {
		if setting[1] != "" {
			fmt.Fprintf(&list, "%s='%s' ", setting[0], quote.Replace(setting[1]))
		}
	}
	return list.String()
}

// unusable is the error for settings that the driver does not accept. Its own
// words may have a part of the password in them; those about a file have not.
func unusable(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("a file that the settings of the connection name: %w", file)
	}
	return errors.New("the settings of the connection can't be used: dsn " + wrongDSN)
}

// about says which server an error is about, in one line.
func about(s *pgx.ConnConfig, err error) error {
	return fmt.Errorf("server %s, port %d, database %q: %w", s.Host, s.Port, s.Database, oneLine{err})
}

// oneLine is an error of the driver, which gives each attempt to connect, with
// and without TLS for instance, a line of its own.
type oneLine struct{ error }

func (e oneLine) Error() string {
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ").Replace(e.error.Error())
}

func (e oneLine) Unwrap() error { return e.error }
