// Command demo walks the whole way once, for real, as a user would: it builds
// daemongen, generates the project feed into a temporary folder, builds it,
// starts it, sends it lines over TCP, shows the rows that it stored, its status,
// a reload and a clean stop, and removes everything again.
//
//	go run ./scripts/demo
//
// It prints each command before it runs it. It uses loopback and the temporary
// folder only, and works for root and for ordinary users.
package main

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	_ "modernc.org/sqlite" // to read what the daemon stored
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// lines are what the client sends.
var lines = []string{"1001,jane,12.50", "1002,joe,3.75", "hello, daemon"}

func run() (err error) {
	// Open to all, since root's daemon runs as nobody.
	dir, err := os.MkdirTemp("", "daemongen-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	s := &session{dir: dir, env: append(os.Environ(), "GOFLAGS=-buildvcs=false")}

	// In the folder of this repository.
	if err := s.in("", "go", "build", "-o", filepath.Join(dir, "daemongen"), "./cmd/daemongen"); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if err := s.in(dir, "./daemongen", "new", "feed", "--yes", "--set", "transport.tcp.listen="+address); err != nil {
		return err
	}
	project := filepath.Join(dir, "feed")
	if err := s.in(project, "go", "build", "-o", "feed", "./cmd/feed"); err != nil {
		return err
	}
	// Instead of /run, /var/lib and /var/log, so that nothing stays behind.
	s.env = append(s.env,
		"FEED_CONFIG="+filepath.Join(project, "configs", "feed.toml"),
		"FEED_DAEMON_RUN_DIR="+filepath.Join(dir, "run"),
		"FEED_DAEMON_STATE_DIR="+filepath.Join(dir, "state"),
		"LOGS_DIRECTORY="+filepath.Join(dir, "log"))
	return s.drive(project, address)
}

// drive starts the daemon, uses it and stops it again.
func (s *session) drive(project, address string) (err error) {
	if err := s.in(project, "./feed", "start"); err != nil {
		return err
	}
	defer func() {
		if err != nil { // not stopped below
			_ = s.in(project, "./feed", "stop")
		}
	}()
	if err := s.talk(address); err != nil {
		return err
	}
	if err := printRows(filepath.Join(s.dir, "state", "feed.db")); err != nil {
		return err
	}
	before, err := s.output(project, "./feed", "status")
	if err != nil {
		return err
	}
	if err := setWorkers(filepath.Join(project, "configs", "feed.toml"), 3); err != nil {
		return err
	}
	reloaded, err := s.output(project, "./feed", "reload")
	if err != nil {
		return err
	}
	if pid(before) == "" || pid(before) != pid(reloaded) {
		return fmt.Errorf("the reload changed the pid: %q, then %q", before, reloaded)
	}
	if err := s.in(project, "./feed", "status"); err != nil {
		return err
	}
	return s.in(project, "./feed", "stop")
}

// session runs commands as somebody who types them would.
type session struct {
	dir string
	env []string
}

func (s *session) in(folder string, args ...string) error {
	_, err := s.output(folder, args...)
	return err
}

// output runs a command and returns what it printed, which is shown as well.
func (s *session) output(folder string, args ...string) (string, error) {
	fmt.Printf("$ %s\n", strings.ReplaceAll(strings.Join(args, " "), s.dir+"/", ""))
	var text strings.Builder
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = folder, s.env
	cmd.Stdout = io.MultiWriter(os.Stdout, &text)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return text.String(), nil
}

// talk sends the lines and prints the answers.
func (s *session) talk(address string) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	fmt.Printf("a client connects to %s and sends\n", address)
	if _, err := fmt.Fprintln(conn, strings.Join(lines, "\n")); err != nil {
		return err
	}
	answers := bufio.NewReader(conn)
	for _, line := range lines {
		answer, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		fmt.Printf("  %-16s -> %s", line, answer)
		if answer != "TRUE\n" {
			return fmt.Errorf("%q was answered %q", line, answer)
		}
	}
	return nil
}

// printRows prints what is stored, and fails unless that is what was sent.
func printRows(path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT id, received_at, body FROM feed ORDER BY id")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	fmt.Println("the table feed in", filepath.Base(path))
	var stored []string
	for rows.Next() {
		var id int
		var receivedAt, body string
		if err := rows.Scan(&id, &receivedAt, &body); err != nil {
			return err
		}
		fmt.Printf("  %d | %s | %s\n", id, receivedAt, body)
		stored = append(stored, body)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if strings.Join(stored, "\n") != strings.Join(lines, "\n") {
		return fmt.Errorf("stored are %q, sent were %q", stored, lines)
	}
	return nil
}

var workersKey = regexp.MustCompile(`(?m)^count = .*$`)

// setWorkers edits the configuration, as its owner would.
func setWorkers(path string, count int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Printf("in configs/feed.toml: [worker] count = %d\n", count)
	return os.WriteFile(path, workersKey.ReplaceAll(text, fmt.Appendf(nil, "count = %d", count)), 0o644)
}

var pidText = regexp.MustCompile(`pid \d+`)

func pid(text string) string { return pidText.FindString(text) }

// freeAddress is an address that nobody listens on at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
