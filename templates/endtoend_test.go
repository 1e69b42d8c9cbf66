package templates_test

// The exemplar as a whole, with its transport and its database, under failures:
// what needs more than one feature at once can't be in the exemplar itself,
// where every file belongs to one feature or to all projects.

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// There is nothing to record here; see go test ./... -update.
var _ = flag.Bool("update", false, "nothing to record here")

// service is an exemplar daemon of a test, with its own directories.
type service struct {
	t            *testing.T
	binary, dir  string
	address      string
	env          []string
	databaseFile string
}

func newService(t *testing.T) *service {
	t.Helper()
	dir, err := os.MkdirTemp("", "exampled-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for the user that root's daemon becomes
		t.Fatal(err)
	}
	s := &service{t: t, binary: filepath.Join(dir, "exampled"), dir: dir, databaseFile: filepath.Join(dir, "state", "exampled.db")}
	if out, err := exec.Command("go", "build", "-o", s.binary, "./exampled/cmd/exampled").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	config, err := filepath.Abs("exampled/configs/exampled.toml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "exampled.toml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	s.address = freeAddress(t)
	s.set("transport.tcp.listen", strconv.Quote(s.address))
	s.set("transport.udp.listen", `"127.0.0.1:0"`)
	s.set("transport.zeromq.bind", `["tcp://`+freeAddress(t)+`"]`)
	s.env = append(os.Environ(),
		"EXAMPLED_CONFIG="+filepath.Join(dir, "exampled.toml"),
		"EXAMPLED_DATABASE_USE=sqlite",
		"EXAMPLED_DAEMON_RUN_DIR="+filepath.Join(dir, "run"),
		"EXAMPLED_DAEMON_STATE_DIR="+filepath.Join(dir, "state"),
		"LOGS_DIRECTORY="+filepath.Join(dir, "log"))
	t.Cleanup(func() { s.run("stop", "--timeout", "5s") })
	return s
}

// streams are the transports whose peers send lines, with their addresses.
func (s *service) streams() map[string]string {
	return map[string]string{
		"tcp":  s.address,
		"unix": filepath.Join(s.dir, "run", "exampled.unix.sock"),
	}
}

// overStreams runs a test with each of the streams, with a service of its own.
func overStreams(t *testing.T, test func(t *testing.T, s *service, address string)) {
	for _, name := range []string{"tcp", "unix"} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			test(t, s, s.streams()[name])
		})
	}
}

// connect connects to HOST:PORT, or to the path of a unix socket.
func connect(address string) (net.Conn, error) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	return net.DialTimeout(network, address, requestLimit)
}

// freeAddress is an address that nobody uses, on a host of the loopback network of
// its own: the ports of 127.0.0.1 are also for every connection to a server.
func freeAddress(t *testing.T) string {
	t.Helper()
	pid := os.Getpid()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", pid>>8&0xff, pid&0xff, 2+freeHosts.Add(1)%250))
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// freeHosts is how many hosts of the loopback network have been given away.
var freeHosts atomic.Uint32

func (s *service) run(args ...string) (code int, output string) {
	s.t.Helper()
	// No test waits for as long unless it fails.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = s.env, s.dir, time.Second
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (s *service) want(code int, pattern string, args ...string) string {
	s.t.Helper()
	got, out := s.run(args...)
	if got != code || !regexp.MustCompile(pattern).MatchString(out) {
		s.t.Fatalf("exampled %s: exit %d, %q; want %d and a match of %q", strings.Join(args, " "), got, out, code, pattern)
	}
	return out
}

// eventually polls until the condition holds, and fails the test if it does not
// for a time that no working service needs.
func (s *service) eventually(what string, condition func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("not so after 2 min: %s", what)
		}
	}
}

// set changes the value of a key, SECTION.NAME, which stands on a line of its own.
func (s *service) set(key, value string) {
	s.t.Helper()
	dot := strings.LastIndexByte(key, '.')
	path := filepath.Join(s.dir, "exampled.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	before, section, ok := strings.Cut(string(text), "\n["+key[:dot]+"]\n")
	line := regexp.MustCompile(`(?m)^` + key[dot+1:] + ` = .*$`).FindStringIndex(section)
	if !ok || line == nil {
		s.t.Fatalf("the configuration has no %s", key)
	}
	changed := before + "\n[" + key[:dot] + "]\n" + section[:line[0]] + key[dot+1:] + " = " + value + section[line[1]:]
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *service) start() (pid int) {
	s.t.Helper()
	out := s.want(0, `started \(pid \d+\)`, "start")
	pid, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(out))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// hold keeps others from writing to the database until release is called; with
// exclusive, also from opening it.
func (s *service) hold(exclusive bool) (release func()) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.databaseFile+"?_txlock=immediate")
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if exclusive {
		if _, err := db.Exec("PRAGMA locking_mode=EXCLUSIVE"); err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := db.Close(); err != nil {
			s.t.Error(err)
		}
	}
}
