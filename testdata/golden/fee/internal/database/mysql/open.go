// Opening the database: what holds for every session, and the first one.

package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"example.com/fee/internal/database"
	migrations "example.com/fee/migrations/mysql"
)

// Open implements database.Config.
func (c *Config) Open(ctx context.Context, env database.Env) (*database.DB, error) {
	settings, err := c.settings(env)
	if err != nil {
		return nil, err
	}
	sessions, err := c.connector(settings)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(sessions)
	resize := env.Bound(pool)
	if err := pool.PingContext(ctx); err != nil {
		_ = pool.Close()
		err = fmt.Errorf("server %s, database %q: %w", settings.Addr, settings.DBName, err)
		return nil, database.OpenError(err, classify(err), rejected(err))
	}
	return database.New(pool, database.Options{
		Resize:      resize,
		OnDuplicate: leaveAsIs,
		Classify:    classify,
		Migrate: func(ctx context.Context) ([]string, error) {
			return c.migrateUp(ctx, settings, env, env.Files(migrations.Files))
		},
	}), nil
}

// settings returns what the driver is to know.
func (c *Config) settings(env database.Env) (s *mysql.Config, err error) {
	if c.DSN == "" {
		s, err = c.fromKeys(env)
	} else if s, err = parse(c.DSN); err != nil {
		err = fmt.Errorf("dsn: %w", err)
	}
	if err != nil {
		return nil, err
	}
	s.Logger = logger{env.Log}
	if s.DialFunc == nil && (s.Net == "tcp" || s.Net == "unix") {
		s.DialFunc = dial
	}
	s.ParseTime, s.Loc = true, time.UTC
	s.ClientFoundRows, s.MultiStatements = false, false
	// To put values into a statement is safe in this character set, also where
	// the server has another one by default.
	s.InterpolateParams = true
	if err := s.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	if s.MaxAllowedPacket == mysql.NewConfig().MaxAllowedPacket { // a guess, of which a DSN says nothing
		s.MaxAllowedPacket = 0
	}
	for name, value := range map[string]string{
		"time_zone": "'+00:00'",
		"sql_mode":  "'TRADITIONAL'", // what does not fit is an error, and not cut
	} {
		if _, ok := s.Params[name]; !ok {
			if s.Params == nil {
				s.Params = make(map[string]string)
			}
			s.Params[name] = value
		}
	}
	return s, nil
}

func (c *Config) fromKeys(env database.Env) (*mysql.Config, error) {
	s := mysql.NewConfig()
	s.Net, s.Addr = "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	if strings.HasPrefix(c.Host, "/") {
		s.Net, s.Addr = "unix", c.Host
	}
	s.User, s.Passwd, s.DBName = c.User, c.Password.Reveal(), c.Name
	if s.User == "" {
		s.User = env.Table()
	}
	if s.DBName == "" {
		s.DBName = env.Table()
	}
	s.TLSConfig = c.TLS
	if c.CAFile != "" {
		roots, err := certificates(string(c.CAFile))
		if err != nil {
			return nil, err
		}
		s.TLS = &tls.Config{RootCAs: roots, ServerName: c.Host}
	}
	s.MaxAllowedPacket = int(c.MaxAllowedPacket)
	s.ReadTimeout, s.WriteTimeout = time.Duration(c.ReadTimeout), time.Duration(c.WriteTimeout)
	return s, s.Apply(mysql.EnableCompression(c.Compress))
}

func certificates(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", file)
	}
	return roots, nil
}

// connector makes sessions. They are READ COMMITTED, unless the DSN has it
// otherwise: under REPEATABLE READ, which is the servers' default, the gaps
// between rows are locked as well, and batches of several workers deadlock.
type connector struct {
	driver.Connector
	network  string
	timeout  time.Duration
	isolated bool // the DSN has it
}

func (c *Config) connector(s *mysql.Config) (driver.Connector, error) {
	plain, err := mysql.NewConnector(s)
	if err != nil { // can't be: it was parsed, or is made of what is valid
		return nil, errors.New("the driver does not accept the settings of the connection")
	}
	timeout := time.Duration(c.ConnectTimeout)
	if s.Timeout > 0 {
		timeout = s.Timeout
	}
	_, isolated := s.Params["transaction_isolation"]
	if !isolated {
		_, isolated = s.Params["tx_isolation"] // in MariaDB before 11.1
	}
	return &connector{plain, s.Net, timeout, isolated}, nil
}

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.connect(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return nil, &net.OpError{Op: "dial", Net: c.network, Err: os.ErrDeadlineExceeded}
	}
	return conn, err
}

func (c *connector) connect(ctx context.Context) (driver.Conn, error) {
	l := &link{}
	conn, err := c.Connector.Connect(context.WithValue(ctx, linkKey{}, l))
	if err != nil {
		return nil, err
	}
	if of, ok := conn.(driverConn); ok && l.Conn != nil {
		conn = &session{driverConn: of, link: l}
	}
	if c.isolated {
		return conn, nil
	}
	// No variable has one name in all servers.
	const statement = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, statement, nil); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// logger takes what the driver has to say of connections that end: the errors
// of the calls say it as well.
type logger struct{ *slog.Logger }

func (l logger) Print(v ...any) { l.Debug(strings.TrimSpace(fmt.Sprintln(v...))) }

// leaveAsIs is what an INSERT ends in that sets the first of its columns to what it is,
// where a row is there already. INSERT IGNORE would let other errors pass.
func leaveAsIs(insert string) string {
	_, columns, _ := strings.Cut(insert, "(")
	column := strings.TrimSpace(columns[:max(0, strings.IndexAny(columns, ",)"))])
	return " ON DUPLICATE KEY UPDATE " + column + " = " + column
}
