package templates_test

// A generated project with one database, as its owner runs it: for what is to
// hold for each database, which have a project of their own.

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// feed is a project named feed and its daemon.
type feed struct {
	t        *testing.T
	dir      string
	database string
	source   string // what package database/sql opens it by
	address  string // of the transport tcp
	pid      int
	env      []string
	server   []string // the variables of a server of its own, for the script
}

// inEachDatabase runs a test with a project for each database that there is a
// server for.
func inEachDatabase(t *testing.T, test func(*feed)) {
	for _, database := range []string{"sqlite", "mysql", "postgres"} {
		t.Run(database, func(t *testing.T) {
			f := newFeed(t, database)
			f.use(os.Getenv(servers[database].variable))
			test(f)
		})
	}
}

// underFireInEachDatabase is inEachDatabase with servers that a test may kill,
// while other tests use theirs.
func underFireInEachDatabase(t *testing.T, test func(*feed)) {
	for _, database := range []string{"sqlite", "mysql", "postgres"} {
		t.Run(database, func(t *testing.T) {
			f := newFeed(t, database)
			f.use(f.startServer())
			test(f)
		})
	}
}

// servers are the variables that name the servers of the tests.
var servers = map[string]struct{ variable, key string }{
	"mysql":    {"TEST_MYSQL_DSN", "FEED_DATABASE_MYSQL_DSN"},
	"postgres": {"TEST_POSTGRES_URL", "FEED_DATABASE_POSTGRES_DSN"},
}

func newFeed(t *testing.T, database string) *feed {
	t.Helper()
	f := newFolder(t, database)
	f.address = freeAddress(t)
	f.setVariable("TRANSPORT_TCP_LISTEN", f.address)
	f.do("", "go", "run", "../cmd/daemongen", "new", "feed", "--database", database, "--dir", f.path("project"), "--yes")
	return f
}

// newFolder returns a service without its project, which keeps all that it has in a
// folder of the test.
func newFolder(t *testing.T, database string) *feed {
	t.Helper()
	f := &feed{t: t, dir: sharedFolder(t), database: database}
	f.source = "file:" + f.path("state/feed.db")
	f.env = append(os.Environ(),
		"FEED_CONFIG="+f.path("project/configs/feed.toml"),
		"FEED_DAEMON_RUN_DIR="+f.path("run"),
		"FEED_DAEMON_STATE_DIR="+f.path("state"),
		"LOGS_DIRECTORY="+f.path("log"),
		"GOFLAGS=-trimpath") // what two projects have in common is compiled once
	return f
}

// sharedFolder makes a folder that the user whom root's daemon becomes can enter.
func sharedFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "daemongen-feed-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// use has the service store to a database of its own on a server.
func (f *feed) use(server string) {
	f.t.Helper()
	if names, ok := servers[f.database]; ok {
		f.source = f.createDatabase(server)
		f.env = append(f.env, names.key+"="+f.source)
	}
}

// startServer starts a server that ends with the test, and returns how to reach it.
func (f *feed) startServer() (source string) {
	f.t.Helper()
	names, ok := servers[f.database]
	if !ok {
		return ""
	}
	f.server = append(os.Environ(), "SERVICES_DIR="+f.path("server"), "SERVICES_INSTALL=no")
	out, code := f.services("up")
	const cannot = 5 // it is not installed
	if code == cannot {
		f.missing(f.database + " is not installed")
	}
	f.t.Cleanup(func() { f.services("down") })
	_, after, _ := strings.Cut(out, "export "+names.variable+"='")
	source, _, found := strings.Cut(after, "'")
	if code != 0 || !found {
		f.t.Fatalf("the server does not start: exit code %d\n%s", code, out)
	}
	return source
}

// services calls the script of the servers for this one's, and returns what it
// prints and its exit code.
func (f *feed) services(verb string) (out string, code int) {
	f.t.Helper()
	cmd := exec.Command("exampled/scripts/services.sh", verb, f.database)
	if verb == "down" {
		cmd.Args = cmd.Args[:2]
	}
	cmd.Env = f.server
	text, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		f.t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// createDatabase makes an empty database on the server of the tests, which is
// removed with the test, and returns its source.
func (f *feed) createDatabase(server string) (source string) {
	f.t.Helper()
	if server == "" {
		f.missing(servers[f.database].variable + " names no server (make test starts one)")
	}
	db, err := sql.Open(f.driver(), server)
	if err != nil {
		f.t.Fatal(err)
	}
	name := fmt.Sprintf("feed_%d_%d", os.Getpid(), time.Now().UnixNano())
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name); err != nil {
			f.t.Error(err)
		}
		_ = db.Close()
	})
	// Both kinds of sources have the name between the last slash and a question mark.
	before, after, _ := strings.Cut(server[strings.LastIndex(server, "/"):], "?")
	return strings.TrimSuffix(server, before+"?"+after) + "/" + name + "?" + after
}

// driver is that of package database/sql.
func (f *feed) driver() string {
	return map[string]string{"sqlite": "sqlite", "mysql": "mysql", "postgres": "pgx"}[f.database]
}

// missing ends a test for which the machine lacks something.
func (f *feed) missing(what string) {
	f.t.Helper()
	leaveOut(f.t, what)
}

// leaveOut ends a test for which something is missing, and says so. Where CI=true
// nobody reads it, so it is a failure.
func leaveOut(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("missing, and CI=true accepts no test left out: " + what)
	}
	t.Skip("LEFT OUT: " + what)
}

func (f *feed) path(name string) string { return filepath.Join(f.dir, name) }

// do runs a program that has to succeed, in a folder, and returns its output.
func (f *feed) do(dir, program string, args ...string) string {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = dir, f.env, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("%s %s: %v\n%s\n%s", program, strings.Join(args, " "), err, out, f.logTail())
	}
	return string(out)
}

// logTail is the end of the daemon's log, to tell of a failure.
func (f *feed) logTail() string {
	text, _ := os.ReadFile(f.path("log/feed.log")) // there may be none yet
	return string(text[max(0, len(text)-4096):])
}

func (f *feed) build() {
	f.t.Helper()
	f.do(f.path("project"), "go", "build", "-o", f.path("feed"), "./cmd/feed")
	f.t.Cleanup(func() { f.command("stop", "--timeout", "5s") })
}

func (f *feed) command(args ...string) string {
	f.t.Helper()
	return f.do("", f.path("feed"), args...)
}

func (f *feed) start() {
	f.t.Helper()
	out := f.command("start")
	pid, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(out))
	if err != nil || !strings.Contains(out, "started") {
		f.t.Fatalf("start printed %q", out)
	}
	f.pid = pid
}

// end signals the daemon and waits until it is gone.
func (f *feed) end(signal syscall.Signal) {
	f.t.Helper()
	if err := syscall.Kill(f.pid, signal); err != nil {
		f.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(f.pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("process %d is there a minute after %v", f.pid, signal)
		}
	}
}

// killServer kills the database server and starts it again.
func (f *feed) killServer() {
	f.t.Helper()
	for _, verb := range []string{"kill", "up"} {
		if out, code := f.services(verb); code != 0 {
			f.t.Fatalf("%s the server: exit code %d\n%s", verb, code, out)
		}
	}
}

// open opens the database of the service. It is closed with the test.
func (f *feed) open() *sql.DB {
	f.t.Helper()
	db, err := sql.Open(f.driver(), f.source)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = db.Close() })
	return db
}

// stored returns how often each message is stored.
func (f *feed) stored() map[string]int {
	f.t.Helper()
	rows, err := f.open().Query("SELECT body, COUNT(*) FROM feed GROUP BY body")
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	counts := make(map[string]int)
	for rows.Next() {
		var body []byte
		var n int
		if err := rows.Scan(&body, &n); err != nil {
			f.t.Fatal(err)
		}
		counts[string(body)] = n
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	return counts
}

// numbered is the body of message n.
func numbered(n int) string { return fmt.Sprintf("message %d", n) }
