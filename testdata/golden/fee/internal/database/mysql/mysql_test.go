package mysql

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"example.com/fee/internal/config"
	"example.com/fee/internal/database"
	"example.com/fee/internal/database/databasetest"
	"example.com/fee/internal/leftout"
)

func TestMain(m *testing.M) { databasetest.Main(m, place) }

// place is the database of a DSN.
func place(dsn string) databasetest.Place {
	c := Default().(*Config)
	c.DSN = config.Secret(dsn)
	return databasetest.Place{Config: c, Name: dsn}
}

// server returns how to reach a server, with a user who may make databases.
func server(t *testing.T) *mysql.Config {
	t.Helper()
	s, err := mysql.ParseDSN(leftout.Service(t, "TEST_MYSQL_DSN", "MySQL or MariaDB"))
	if err != nil {
		t.Fatal("TEST_MYSQL_DSN is not a DSN")
	}
	return s
}

// fresh makes a database for the length of the test.
func fresh(t *testing.T) databasetest.Place {
	t.Helper()
	s := server(t)
	admin, err := sql.Open("mysql", s.FormatDSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	s.DBName = "test_" + strings.ToLower(rand.Text())
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+s.DBName); err != nil {
		t.Fatalf("the user of TEST_MYSQL_DSN has to be able to make databases: %v", err)
	}
	t.Cleanup(func() { drop(t, s) })
	return place(s.FormatDSN())
}

func drop(t *testing.T, s *mysql.Config) {
	admin, err := sql.Open("mysql", s.FormatDSN())
	if err == nil {
		defer func() { _ = admin.Close() }()
		_, err = admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+s.DBName)
	}
	if err != nil {
		t.Error(err)
	}
}

// with returns a place whose DSN is another one.
func with(of databasetest.Place, change func(s *mysql.Config)) databasetest.Place {
	s, err := parse(of.Config.(*Config).DSN)
	if err != nil {
		panic(err) // is that of a place
	}
	change(s)
	return place(s.FormatDSN())
}

func TestMySQL(t *testing.T) {
	server(t)
	databasetest.Run(t, fresh)
}

func TestMySQLServer(t *testing.T) {
	databasetest.RunServer(t, databasetest.Remote{
		Fresh:   fresh,
		Address: server(t).Addr,
		At: func(p databasetest.Place, address string) databasetest.Place {
			return with(p, func(s *mysql.Config) { s.Addr, s.Timeout = address, time.Second })
		},
		Login: func(p databasetest.Place, user, password, name string) databasetest.Place {
			return with(p, func(s *mysql.Config) {
				set(&s.User, user)
				set(&s.Passwd, password)
				set(&s.DBName, name)
			})
		},
		SessionID: "SELECT CONNECTION_ID()",
		Kill:      "KILL %d",
	})
}

func set(to *string, value string) {
	if value != "" {
		*to = value
	}
}

func TestMigrations(t *testing.T) {
	p := fresh(t)
	databasetest.Migrations(t, func(ctx context.Context, log *slog.Logger, files fs.FS) ([]string, error) {
		c, env := p.Config.(*Config), databasetest.Env(p)
		env.Log = log
		s, err := c.settings(env)
		if err != nil {
			return nil, err
		}
		return c.migrateUp(ctx, s, env, files)
	})
}

// Every session has the settings, whatever those of the server are.
func TestSettings(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	variable := func(name string) (value string) {
		if err := conn.QueryRowContext(t.Context(), "SHOW SESSION VARIABLES WHERE Variable_name IN ("+name+")").Scan(new(string), &value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return value
	}
	for name, want := range map[string]string{
		"'character_set_client'":                     "utf8mb4",
		"'time_zone'":                                "+00:00",
		"'transaction_isolation', 'tx_isolation'":    "READ-COMMITTED",
		"'character_set_connection'":                 "utf8mb4",
		"'character_set_results'":                    "utf8mb4",
		"'autocommit'":                               "ON",
		"'sql_auto_is_null'":                         "OFF",
		"'foreign_key_checks', 'foreign_keys_check'": "ON",
	} {
		if got := variable(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if mode := variable("'sql_mode'"); !strings.Contains(mode, "STRICT_ALL_TABLES") {
		t.Errorf("sql_mode is %q", mode)
	}
	var at time.Time
	if _, err := db.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES ('x')"); err != nil {
		t.Fatal(err)
	}
	row := db.QueryRowContext(t.Context(), "SELECT received_at FROM messages WHERE received_at BETWEEN UTC_TIMESTAMP() - INTERVAL 1 MINUTE AND UTC_TIMESTAMP() + INTERVAL 1 MINUTE")
	if err := row.Scan(&at); err != nil || at.Location() != time.UTC {
		t.Errorf("received at %v, %v", at, err)
	}
}

// What a DSN says of a session, it has a reason for.
func TestSettingsOfDSN(t *testing.T) {
	db := databasetest.Open(t, with(fresh(t), func(s *mysql.Config) {
		s.Params = map[string]string{"tx_isolation": "'SERIALIZABLE'", "sql_mode": "''"}
	}))
	var mode, isolation string
	if err := db.QueryRowContext(t.Context(), "SELECT @@sql_mode, @@tx_isolation").Scan(&mode, &isolation); err != nil || mode != "" || isolation != "SERIALIZABLE" {
		t.Errorf("sql_mode %q, isolation %q, %v", mode, isolation, err)
	}
}

// A statement with parameters is one round trip: nothing is prepared for it alone.
func TestOneRoundTrip(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	prepared := func() (n int) {
		if err := conn.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Com_stmt_prepare'").Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := prepared()
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES (?)", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n := prepared() - before; n != 0 {
		t.Errorf("%d statements were prepared", n)
	}
}

// The errors of constraints and of values that do not fit, as a server gives
// them.
func TestClasses(t *testing.T) {
	db := databasetest.Open(t, fresh(t))
	for _, statement := range []string{
		"CREATE TABLE parent (id INT PRIMARY KEY)",
		"CREATE TABLE child (parent INT, FOREIGN KEY (parent) REFERENCES parent (id))",
		"CREATE TABLE narrow (tiny TINYINT, day DATE, word VARCHAR(3), kind ENUM('a', 'b'), must INT NOT NULL DEFAULT 0, CHECK (tiny < 100))",
		"CREATE TABLE needs (a INT NOT NULL)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for statement, want := range map[string]database.Class{
		"INSERT INTO child VALUES (1)":                            database.Permanent, // 1452
		"INSERT INTO narrow (tiny) VALUES (1000)":                 database.Permanent, // 1264
		"INSERT INTO narrow (tiny) VALUES ('x')":                  database.Permanent, // 1366
		"INSERT INTO narrow (tiny) VALUES (100)":                  database.Permanent, // 4025, 3819
		"INSERT INTO narrow (day) VALUES ('2026-02-30')":          database.Permanent, // 1292
		"INSERT INTO narrow (word) VALUES ('four')":               database.Permanent, // 1406
		"INSERT INTO narrow (kind) VALUES ('c')":                  database.Permanent, // 1265
		"INSERT INTO narrow (must) VALUES (NULL)":                 database.Permanent, // 1048
		"INSERT INTO needs VALUES ()":                             database.Permanent, // 1364
		"INSERT INTO narrow (must) VALUES (1/0)":                  database.Permanent, // 1365
		"SET SESSION max_join_size = 'x'":                         database.Retry,
		"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1290":          database.Unavailable,
		"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1836":          database.Unavailable,
		"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114":          database.Unavailable,
		"SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1053":          database.Unavailable,
		"SIGNAL SQLSTATE '08004' SET MYSQL_ERRNO = 1040":          database.Unavailable,
		"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205":          database.Retry,
		"SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = 1317":          database.Retry,
		"SELECT body FROM messages PROCEDURE nothing_like_this()": database.Retry,
	} {
		_, err := db.ExecContext(t.Context(), statement)
		databasetest.Class(t, db, statement, err, want)
	}
	for err, want := range map[error]database.Class{
		mysql.ErrInvalidConn: database.Unavailable,
		mysql.ErrPktTooLarge: database.Permanent,
		mysql.ErrNoTLS:       database.Retry,
	} {
		databasetest.Class(t, db, "driver", err, want)
	}
}

// The keys of the section reach the driver, over TCP and by a unix socket.
func TestKeys(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		change func(c *Config)
		want   string // of the DSN that comes to the same
	}{
		{func(*Config) {}, "my_feed@tcp(127.0.0.1:3306)/my_feed"},
		{func(c *Config) { c.Host, c.Port, c.User, c.Name = "::1", 1, "u", "n" }, "u@tcp([::1]:1)/n"},
		{func(c *Config) { c.Host, c.Password = "/run/s", "p:@/?" }, "my_feed:p:@/?@unix(/run/s)/my_feed"},
		{func(c *Config) { c.Compress, c.ReadTimeout = true, config.Duration(time.Second) }, "compress=true&readTimeout=1s"},
		{func(c *Config) { c.TLS, c.MaxAllowedPacket = "preferred", 1<<20 }, "tls=preferred&maxAllowedPacket=1048576"},
		{func(c *Config) { c.CAFile = config.Path(ca) }, "holds no certificate"},
		{func(c *Config) { c.CAFile = "/no/such/file" }, "open /no/such/file: no such file or directory"},
	} {
		c := Default().(*Config)
		tt.change(c)
		s, err := c.settings(database.Env{Name: "my-feed", Log: slog.New(slog.DiscardHandler)})
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = s.FormatDSN()
		}
		for part := range strings.SplitSeq(tt.want, "&") {
			if !strings.Contains(got, part) {
				t.Errorf("got %s, want %s in it", got, part)
			}
		}
	}
}

// The keys of the section do for a real server as well.
func TestOpenByKeys(t *testing.T) {
	s, err := parse(fresh(t).Config.(*Config).DSN)
	if err != nil {
		t.Fatal(err)
	}
	host, number, _ := net.SplitHostPort(s.Addr)
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	c := Default().(*Config)
	c.Host, c.Port, c.User, c.Password, c.Name, c.Compress = host, port, s.User, config.Secret(s.Passwd), s.DBName, true
	db := databasetest.Open(t, databasetest.Place{Config: c})
	if _, err := db.ExecContext(t.Context(), "INSERT INTO messages (body) VALUES (?)", bytes.Repeat([]byte("x"), 1<<20)); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(c *Config)
		want   string
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Host = "" }, "host must not be empty"},
		{func(c *Config) { c.Port = 65536 }, "port must be at least 1 and at most 65535, is 65536"},
		{func(c *Config) { c.TLS = "yes" }, `tls must be one of false, true, skip-verify, preferred, is "yes"`},
		{func(c *Config) { c.CAFile = "/x" }, `ca_file needs tls = "true", which is "false"`},
		{func(c *Config) { c.MaxAllowedPacket = 1 }, "max_allowed_packet must be 0B, to ask the server, or at least 1KiB and at most 1GiB, is 1B"},
		{func(c *Config) { c.ConnectTimeout = 0 }, "connect_timeout must be more than 0s, is 0s"},
		{func(c *Config) { c.DSN = "u:p@tcp(h:1)/n" }, ""},
		{func(c *Config) { c.DSN, c.Port = "u:p@tcp(h:1)/n", 1 }, "dsn says all that the other keys of the section do, which are not to be there then"},
		{func(c *Config) { c.DSN = "hunter2" }, "dsn is not of the form user:password@tcp(host:port)/name?param=value, with parameters that the driver knows"},
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
		marker, "u:" + marker + "@tcp(h)", "u:a/" + marker + "@tcp(h:1)/n", "u:a?" + marker + "=x@tcp(h:1)/n",
		"u:p@tcp(h:1)/n?" + marker + "=%zz", "u:p@tcp(h:1)/n?timeout=" + marker, "u:p@tcp(h:1)/n?tls=" + marker,
		"u:p@" + marker + "(h:1)/n", "u:" + marker + "@tcp(h:1/n", "u:p@tcp(h:1)/%" + marker,
		"u:p@tcp(h:1)/n?compress=" + marker, "u:p@tcp(h:1)/n?loc=" + marker, "u:p@tcp(h:1)/n?collation=gbk_chinese_ci&interpolateParams=true&x=" + marker,
	} {
		p := place(dsn)
		p.Config.Validate(func(key, reason string) {
			if strings.Contains(reason, marker) {
				t.Errorf("%s: %s", dsn, reason)
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		db, err := p.Config.Open(ctx, databasetest.Env(p))
		cancel()
		if err == nil {
			_ = db.Close()
			t.Fatalf("%s: opened", dsn)
		}
		if !strings.Contains(dsn, "@"+marker) && !strings.Contains(dsn, "/%"+marker) { // a network or a database
			databasetest.Tells(t, err, marker)
		}
	}
}
