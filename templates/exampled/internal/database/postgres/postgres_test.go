package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/databasetest"
	"github.com/daemongen/daemongen/templates/exampled/internal/leftout"
)

func TestMain(m *testing.M) { databasetest.Main(m, place) }

// place is the database of a DSN.
func place(dsn string) databasetest.Place {
	c := Default().(*Config)
	c.DSN = config.Secret(dsn)
	return databasetest.Place{Config: c, Name: dsn}
}

// server returns how to reach a server, with a user who may make schemas in the
// database.
func server(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(leftout.Service(t, "TEST_POSTGRES_URL", "PostgreSQL"))
	if err != nil || u.Host == "" {
		t.Fatal("TEST_POSTGRES_URL is not a URL postgres://user:password@host:port/name")
	}
	return u
}

// fresh makes a schema for the length of the test, which stands for a database.
func fresh(t *testing.T) databasetest.Place {
	t.Helper()
	u := server(t)
	schema := "test_" + strings.ToLower(rand.Text())
	admin, err := sql.Open("pgx", u.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatalf("the user of TEST_POSTGRES_URL has to be able to make schemas: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		_ = admin.Close()
	})
	return place(with(u.String(), func(u *url.URL) { set(u, "search_path", schema) }))
}

// with returns a DSN that is another one.
func with(dsn string, change func(u *url.URL)) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err) // is that of a place
	}
	change(u)
	return u.String()
}

func set(u *url.URL, key, value string) {
	values := u.Query()
	values.Set(key, value)
	u.RawQuery = values.Encode()
}

func TestPostgres(t *testing.T) {
	server(t)
	databasetest.Run(t, fresh)
}

func TestPostgresServer(t *testing.T) {
	databasetest.RunServer(t, databasetest.Remote{
		Fresh:   fresh,
		Address: server(t).Host,
		At: func(p databasetest.Place, address string) databasetest.Place {
			return place(with(p.Name, func(u *url.URL) {
				u.Host = address
				set(u, "connect_timeout", "1")
			}))
		},
		Login: func(p databasetest.Place, user, password, name string) databasetest.Place {
			return place(with(p.Name, func(u *url.URL) {
				given, _ := u.User.Password()
				if password != "" {
					given = password
				}
				if user == "" {
					user = u.User.Username()
				}
				u.User = url.UserPassword(user, given)
				if name != "" {
					u.Path = "/" + name
				}
			}))
		},
		SessionID: "SELECT pg_backend_pid()",
		Kill:      "SELECT pg_terminate_backend(%d)",
	})
}

func TestMigrations(t *testing.T) {
	p := fresh(t)
	databasetest.Migrations(t, func(ctx context.Context, log *slog.Logger, files fs.FS) ([]string, error) {
		env := databasetest.Env(p)
		env.Log = log
		s, err := p.Config.(*Config).settings(env)
		if err != nil {
			return nil, err
		}
		return migrateUp(ctx, s, env, files)
	})
}

// Every session has the settings, and remembers a statement, but not any number
// of them.
func TestSettings(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for n := range 2 * statements {
		query := "INSERT INTO messages (body) VALUES ($1)" + strings.Repeat(", ($1)", n)
		for range 2 {
			if _, err := conn.ExecContext(t.Context(), query, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	for query, want := range map[string]string{
		"SHOW application_name":              "exampled",
		"SHOW timezone":                      "UTC",
		"SHOW default_transaction_isolation": "read committed",
		"SELECT count(*) BETWEEN 50 AND 70 FROM pg_prepared_statements": "true",
	} {
		var got string
		if err := conn.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", query, got, err, want)
		}
	}
	var at time.Time
	row := conn.QueryRowContext(t.Context(), "SELECT received_at FROM messages WHERE abs(extract(epoch FROM received_at - clock_timestamp())) < 60 LIMIT 1")
	if err := row.Scan(&at); err != nil {
		t.Error(err)
	}
	if _, offset := at.Zone(); offset != 0 {
		t.Errorf("received at %v", at)
	}
}

// What a DSN says, it has a reason for.
func TestSettingsOfDSN(t *testing.T) {
	p := fresh(t)
	db := databasetest.Open(t, place(with(p.Name, func(u *url.URL) {
		set(u, "application_name", "another")
		set(u, "default_query_exec_mode", "exec")
	})))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var name string
	var prepared int
	err = conn.QueryRowContext(t.Context(), "SELECT current_setting('application_name'), count(*) FROM pg_prepared_statements").Scan(&name, &prepared)
	if err != nil || name != "another" || prepared != 0 {
		t.Errorf("application_name %q, %d statements, %v", name, prepared, err)
	}
}

// The errors of constraints and of values that do not fit, as a server gives
// them.
func TestClasses(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	for _, statement := range []string{
		"CREATE TABLE parent (id INT PRIMARY KEY)",
		"CREATE TABLE child (parent INT REFERENCES parent)",
		"CREATE TABLE narrow (tiny SMALLINT CHECK (tiny < 100), day DATE, word VARCHAR(3), must INT NOT NULL DEFAULT 0)",
		"CREATE FUNCTION fail(code TEXT) RETURNS VOID LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = code; END'",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for statement, want := range map[string]database.Class{
		"INSERT INTO child VALUES (1)":                   database.Permanent, // 23503
		"INSERT INTO narrow (tiny) VALUES (100000)":      database.Permanent, // 22003
		"INSERT INTO narrow (tiny) VALUES ('x')":         database.Permanent, // 22P02
		"INSERT INTO narrow (tiny) VALUES (100)":         database.Permanent, // 23514
		"INSERT INTO narrow (day) VALUES ('2026-02-30')": database.Permanent, // 22008
		"INSERT INTO narrow (word) VALUES ('four')":      database.Permanent, // 22001
		"INSERT INTO narrow (must) VALUES (NULL)":        database.Permanent, // 23502
		"INSERT INTO narrow (must) VALUES (1/0)":         database.Permanent, // 22012
		"SELECT fail('40001')":                           database.Retry,
		"SELECT fail('57014')":                           database.Retry,
		"SELECT fail('25006')":                           database.Unavailable,
		"SELECT fail('53100')":                           database.Unavailable,
		"SELECT fail('53300')":                           database.Unavailable,
		"SELECT fail('57P01')":                           database.Unavailable,
		"SELECT fail('57P03')":                           database.Unavailable,
		"SELECT fail('08006')":                           database.Unavailable,
		"SELECT fail('28P01')":                           database.Unavailable,
		"SELECT fail('3D000')":                           database.Unavailable,
	} {
		_, err := db.ExecContext(t.Context(), statement)
		databasetest.Class(t, db, statement, err, want)
	}
	_, err := db.ExecContext(t.Context(), db.Rebind("INSERT INTO messages (message_key, body) VALUES (?, 'x')"), "not \xff UTF-8")
	databasetest.Class(t, db, "not UTF-8", err, database.Permanent)
	databasetest.Class(t, db, "closed", pgconn.ErrConnClosed, database.Unavailable)
}

// The transactions of two sessions that can't both be serial: one may be tried
// again.
func TestSerialization(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	options := &sql.TxOptions{Isolation: sql.LevelSerializable}
	var errs []error
	var list []*sql.Tx
	for range 2 {
		tx, err := db.BeginTx(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback() }()
		list = append(list, tx)
		var n int
		errs = append(errs, tx.QueryRowContext(t.Context(), "SELECT count(*) FROM messages").Scan(&n))
	}
	var failed error
	for _, tx := range list {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES ('x')")
		errs = append(errs, err)
	}
	for _, tx := range list {
		if err := tx.Commit(); err != nil {
			failed = err
		}
	}
	for _, err := range errs {
		if err != nil {
			failed = err
		}
	}
	databasetest.Class(t, db, "serialization", failed, database.Retry)
}

// The keys of the section reach the driver.
func TestKeys(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := database.Env{Name: "my-feed", Log: slog.New(slog.DiscardHandler)}
	for _, tt := range []struct {
		change func(c *Config)
		check  func(s *pgx.ConnConfig) bool
	}{
		{func(*Config) {}, func(s *pgx.ConnConfig) bool {
			return s.Host == "127.0.0.1" && s.Port == 5432 && s.User == "my_feed" && s.Database == "my_feed" &&
				s.ConnectTimeout == 5*time.Second && s.RuntimeParams["application_name"] == "my-feed" && len(s.Fallbacks) == 1
		}},
		{func(c *Config) { c.Host, c.Port, c.User, c.Name = "::1", 1, "u u", "n'n" }, func(s *pgx.ConnConfig) bool {
			return s.Host == "::1" && s.Port == 1 && s.User == "u u" && s.Database == "n'n"
		}},
		{func(c *Config) { c.Host, c.Password = "/run", config.Secret(`a b'c\d sslmode=require`) }, func(s *pgx.ConnConfig) bool {
			return s.Host == "/run" && s.Password == `a b'c\d sslmode=require` && s.TLSConfig == nil
		}},
		{func(c *Config) { c.SSLMode = "verify-full" }, func(s *pgx.ConnConfig) bool {
			return s.TLSConfig.ServerName == "127.0.0.1" && !s.TLSConfig.InsecureSkipVerify && len(s.Fallbacks) == 0
		}},
	} {
		c := Default().(*Config)
		tt.change(c)
		if s, err := c.settings(env); err != nil || !tt.check(s) {
			t.Errorf("settings of %+v: %v", c, err)
		}
	}
	c := Default().(*Config)
	c.SSLMode, c.CAFile = "verify-full", "/no/such/file"
	if _, err := c.settings(env); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// The keys of the section do for a real server as well.
func TestOpenByKeys(t *testing.T) {
	u := server(t)
	host, number, _ := net.SplitHostPort(u.Host)
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	c := Default().(*Config)
	c.Host, c.Port, c.User, c.Password, c.Name = host, port, u.User.Username(), config.Secret(password), strings.TrimPrefix(u.Path, "/")
	db, err := c.Open(t.Context(), databasetest.Env(databasetest.Place{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// An error has one line, however many attempts there were.
func TestOneLine(t *testing.T) {
	c := Default().(*Config)
	c.Port = 1
	_, err := c.Open(t.Context(), databasetest.Env(databasetest.Place{}))
	if _, ok := errors.AsType[*database.UnavailableError](err); !ok {
		t.Fatalf("no UnavailableError: %v", err)
	}
	if text := err.Error(); strings.Contains(text, "\n") || strings.Count(text, "dial") < 2 {
		t.Errorf("not two attempts in one line: %s", text)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Host = "" }, "host must not be empty"},
		{func(c *Config) { c.Port = 0 }, "port must be at least 1 and at most 65535, is 0"},
		{func(c *Config) { c.SSLMode = "yes" }, `sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full, is "yes"`},
		{func(c *Config) { c.CAFile = "/x" }, `ca_file needs an sslmode that verifies, "verify-full" or "verify-ca", which is "prefer"`},
		{func(c *Config) { c.ConnectTimeout = 0 }, "connect_timeout must be more than 0s, is 0s"},
		{func(c *Config) { c.DSN = "postgres://u:p@h:1/n" }, ""},
		{func(c *Config) { c.DSN = "host=h password=p" }, ""},
		{func(c *Config) { c.DSN, c.Port = "host=h", 1 }, "dsn says all that the other keys of the section do, which are not to be there then"},
		{func(c *Config) { c.DSN = "postgres://u:hunter2%@h" }, "dsn " + wrongDSN},
		{func(c *Config) { c.DSN = "hunter2" }, "dsn " + wrongDSN},
	} {
		c := Default().(*Config)
		tt.change(c)
		var got []string
		c.Validate(func(key, reason string) { got = append(got, key+" "+reason) })
		if strings.Join(got, "; ") != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// Whatever is wrong with a DSN, the error does not tell of its password.
func TestSecretDSN(t *testing.T) {
	const marker = "hunter2"
	for _, dsn := range []string{
		marker, "password=" + marker + " port=x", "password='" + marker, "host=h password='a " + marker + "' sslmode=no", "password = " + marker + " port=x",
		"host=h sslmode=" + marker, "postgres://u:" + marker + "@h:port/n", "postgres://u:a/" + marker + "@h/n",
		"postgres://u:%" + marker + "@h/n", "postgres://u:p@h/n?sslpassword=" + marker + "&port=x",
		"postgres://u:p@h/n?connect_timeout=" + marker, "postgres://u:" + marker + "@h/n?sslrootcert=/no/such/file&sslmode=verify-full",
	} {
		p := place(dsn)
		p.Config.Validate(func(key, reason string) {
			if strings.Contains(reason, marker) {
				t.Errorf("%s: %s", dsn, reason)
			}
		})
		_, err := p.Config.(*Config).settings(databasetest.Env(p))
		if err == nil {
			t.Errorf("%s: accepted", dsn)
			continue
		}
		databasetest.Tells(t, err, marker)
	}
}

// Any bytes are stored as they are, whatever the driver thinks of their type.
func TestBytesOfAShell(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	if _, err := db.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES ($1)", db.Bytes([]byte(`\x41`))); err != nil {
		t.Fatal(err)
	}
	var body []byte
	if err := db.QueryRowContext(t.Context(), "SELECT body FROM messages").Scan(&body); err != nil || !bytes.Equal(body, []byte(`\x41`)) {
		t.Errorf("read %q, %v", body, err)
	}
}
