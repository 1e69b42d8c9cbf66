package templates_test

// The exemplar as a whole, with its transport and its database, under failures:
// what needs more than one feature at once can't be in the exemplar itself,
// where every file belongs to one feature or to all projects.

import (
	"bufio"
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
	"sync"
	"syscall"
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
	s.env = append(os.Environ(),
		"EXAMPLED_CONFIG="+filepath.Join(dir, "exampled.toml"),
		"EXAMPLED_DAEMON_RUN_DIR="+filepath.Join(dir, "run"),
		"EXAMPLED_DAEMON_STATE_DIR="+filepath.Join(dir, "state"),
		"EXAMPLED_TRANSPORT_TCP_LISTEN="+s.address,
		"LOGS_DIRECTORY="+filepath.Join(dir, "log"))
	t.Cleanup(func() { s.run("stop", "--timeout", "5s") })
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (s *service) run(args ...string) (code int, output string) {
	s.t.Helper()
	cmd := exec.Command(s.binary, args...)
	cmd.Env, cmd.Dir = s.env, s.dir
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

func (s *service) start() (pid int) {
	s.t.Helper()
	out := s.want(0, `started \(pid \d+\)`, "start")
	pid, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(out))
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

// client sends numbered lines, one at a time, until stop is closed; it connects
// again whenever it must. It returns the lines that were answered TRUE.
func (s *service) client(id int, stop <-chan struct{}) (answered []string) {
	for n := 0; ; {
		select {
		case <-stop:
			return answered
		default:
		}
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			time.Sleep(time.Millisecond) // the daemon is down; bounded by stop
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		answers := bufio.NewReader(conn)
		for {
			line := fmt.Sprintf("client %d line %d", id, n)
			n++
			if _, err := fmt.Fprintln(conn, line); err != nil {
				break
			}
			answer, err := answers.ReadString('\n')
			if err != nil {
				break
			}
			if answer == "TRUE\n" {
				answered = append(answered, line)
			}
			select {
			case <-stop:
				_ = conn.Close()
				return answered
			default:
			}
		}
		_ = conn.Close()
	}
}

// stored returns how often each line is in the database.
func (s *service) stored() map[string]int {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.databaseFile)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT body FROM exampled")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	lines := make(map[string]int)
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			s.t.Fatal(err)
		}
		lines[body]++
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return lines
}

// Pitfall 57: with eight clients sending, the daemon is killed six times and
// started again; every line that was answered TRUE is stored, once.
func TestAnsweredIsStored(t *testing.T) {
	s := newService(t)
	pid := s.start()
	stop := make(chan struct{})
	answered := make([][]string, 8)
	var clients sync.WaitGroup
	for id := range answered {
		clients.Go(func() { answered[id] = s.client(id, stop) })
	}
	for kill := range 6 {
		// Enough for work to be under way at the moment of the kill.
		time.Sleep(time.Duration(50+30*kill) * time.Millisecond)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		pid = s.start() // pitfall 6: what the killed daemon left does not block
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	clients.Wait()
	s.want(0, `stopped`, "stop")

	stored, total := s.stored(), 0
	for _, lines := range answered {
		total += len(lines)
		for _, line := range lines {
			if stored[line] != 1 {
				t.Errorf("%q was answered TRUE and is stored %d times", line, stored[line])
			}
		}
	}
	if total < 100 {
		t.Errorf("only %d lines were answered: the test tested little", total)
	}
	t.Logf("%d lines answered TRUE, %d stored, 6 kills", total, len(stored))
}

// Pitfall 56: what is under way when TERM comes is finished and answered: with
// clients that send without a pause, every line that was stored was answered.
func TestStopDrains(t *testing.T) {
	s := newService(t)
	s.start()
	var clients sync.WaitGroup
	answered := make([]int, 4)
	started := make(chan struct{}, len(answered))
	for id := range answered {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		clients.Go(func() { // until the daemon ends the connection
			for n := 0; ; n++ {
				if _, err := fmt.Fprintf(conn, "client %d line %d\n", id, n); err != nil {
					return
				}
			}
		})
		clients.Go(func() {
			defer func() { _ = conn.Close() }()
			for answers := bufio.NewReader(conn); ; {
				answer, err := answers.ReadString('\n')
				if err != nil {
					return
				}
				if answer != "TRUE\n" {
					t.Errorf("an answer is %q", answer)
				}
				if answered[id]++; answered[id] == 100 {
					started <- struct{}{}
				}
			}
		})
	}
	for range answered {
		<-started
	}
	s.want(0, `stopped`, "stop")
	clients.Wait()
	total := 0
	for _, n := range answered {
		total += n
	}
	if stored := s.stored(); len(stored) != total {
		t.Errorf("%d lines are stored, %d were answered", len(stored), total)
	}
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

// stuck starts the service and sends it a line that it can't store; release lets
// it go on.
func (s *service) stuck() (pid int, conn net.Conn, release func()) {
	s.t.Helper()
	s.env = append(s.env, "EXAMPLED_DATABASE_SQLITE_BUSY_TIMEOUT=1h", "EXAMPLED_WORKER_TIMEOUT=1h")
	pid = s.start()
	release = s.hold(false)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintln(conn, "stuck"); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if _, out := s.run("status"); strings.Contains(out, ", 1 in flight") {
			return pid, conn, release
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the line is not in flight")
		}
	}
}

// unanswered checks that the connection ends without an answer.
func (s *service) unanswered(conn net.Conn) {
	s.t.Helper()
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		s.t.Errorf("a line that was not stored was answered %q", answer)
	}
}

// Pitfalls 32 and 36: a stop that must not kill leaves a daemon whose drain does
// not end running; a second one, being a second TERM, ends the drain.
func TestStopWithoutKill(t *testing.T) {
	s := newService(t)
	s.env = append(s.env, "EXAMPLED_DAEMON_STOP_TIMEOUT=1h")
	pid, conn, release := s.stuck()
	s.want(151, `still running after 200ms`, "stop", "--timeout", "200ms", "--no-kill")
	s.want(0, fmt.Sprintf(`draining \(pid %d\), .* 1 in flight`, pid), "status")
	s.want(150, ``, "status", "--ready")
	s.want(0, fmt.Sprintf(`stopped \(pid %d\)`, pid), "stop", "--timeout", "1h")
	s.unanswered(conn)
	release()
}

// Pitfalls 31 and 32: a stop that reaches its deadline kills, says so and what
// was lost, and returns when the lock and the port are free.
func TestStopKills(t *testing.T) {
	s := newService(t)
	s.env = append(s.env, "EXAMPLED_DAEMON_STOP_TIMEOUT=1h")
	_, conn, release := s.stuck()
	s.want(0, `stop: killed after 200ms, 1 jobs unfinished\n`, "stop", "--timeout", "200ms")
	s.unanswered(conn)
	release()
	s.start()
	if stored := s.stored(); len(stored) != 0 {
		t.Errorf("stored: %v", stored)
	}
}

// Pitfall 34: a daemon that is stopped ends its drain by itself at stop_timeout,
// and gives back what is not done.
func TestDrainAtItsDeadline(t *testing.T) {
	s := newService(t)
	s.env = append(s.env, "EXAMPLED_DAEMON_STOP_TIMEOUT=200ms")
	_, conn, release := s.stuck()
	s.want(0, `stopped`, "stop", "--timeout", "1h")
	s.unanswered(conn)
	release()
	log, err := os.ReadFile(filepath.Join(s.dir, "log", "exampled.log"))
	if err != nil || !strings.Contains(string(log), `msg="the time to drain is over" unfinished=1`) {
		t.Errorf("the log does not say what was left: %v\n%s", err, log)
	}
	s.want(3, `not running`, "status")
}

// Pitfalls 14 and 23: a daemon that hangs while it starts is ended when the time
// is up, and one that dies then is known to be dead at once; neither leaves
// anything, nor is it taken for a crash.
func TestHangingStart(t *testing.T) {
	s := newService(t)
	s.start()
	s.want(0, `stopped`, "stop")
	release := s.hold(true)
	s.env = append(s.env, "EXAMPLED_DATABASE_SQLITE_BUSY_TIMEOUT=1h")

	s.want(150, `not ready in time \(300ms\)`, "start", "--wait", "300ms")
	s.want(3, `not running`, "status")

	killed := make(chan struct{})
	go func() {
		defer close(killed)
		s.killStarting()
	}()
	s.want(1, `died before it was ready`, "start", "--wait", "1h")
	<-killed
	s.want(3, `not running`, "status")

	release()
	s.start()
}

// killStarting kills the daemon as soon as it is known to be starting.
func (s *service) killStarting() {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		code, out := s.run("status")
		match := regexp.MustCompile(`starting \(pid (\d+)\)`).FindStringSubmatch(out)
		if code != 0 || match == nil {
			continue
		}
		if pid, err := strconv.Atoi(match[1]); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
	s.t.Error("the daemon was not seen starting")
}

// Pitfall 13: a start that can't succeed says why and leaves nothing. None of
// these waits for its deadline, which is longer than the test may take.
func TestStartFailsVisibly(t *testing.T) {
	s := newService(t)
	taken, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.want(1, regexp.QuoteMeta(s.address)+`: the address is in use`, "start", "--wait", "1h")
	s.want(3, `not running`, "status")
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}

	// As root the daemon is nobody, who may not write there; else we are not
	// root, and may not either.
	readOnly := filepath.Join(s.dir, "readonly")
	if err := os.Mkdir(readOnly, 0o555); err != nil {
		t.Fatal(err)
	}
	good := s.env
	s.env = append(good, "EXAMPLED_DATABASE_SQLITE_PATH="+filepath.Join(readOnly, "x.db"))
	out := s.want(1, `database\.sqlite: `, "start", "--wait", "1h")
	if !strings.Contains(out, readOnly) {
		t.Errorf("the cause does not name %s: %s", readOnly, out)
	}
	s.want(3, `not running`, "status")

	s.env = append(good, "EXAMPLED_WORKER_COUNT=none")
	s.want(6, `EXAMPLED_WORKER_COUNT.*worker\.count`, "start", "--wait", "1h")
	s.want(3, `not running`, "status")

	s.env = good
	s.start()
}

// Pitfall 41: a reload of which a part can't be done changes nothing, and one
// that can be done rebinds without a change of pid.
func TestReloadRebinds(t *testing.T) {
	s := newService(t)
	for i, variable := range s.env { // the file has to decide
		if strings.HasPrefix(variable, "EXAMPLED_TRANSPORT_TCP_LISTEN=") {
			s.env[i] = "UNUSED="
		}
	}
	configure := func(address, count string) {
		t.Helper()
		path := filepath.Join(s.dir, "exampled.toml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = regexp.MustCompile(`(?m)^listen = .*$`).ReplaceAll(text, []byte(`listen = "`+address+`"`))
		text = regexp.MustCompile(`(?m)^count = .*$`).ReplaceAll(text, []byte("count = "+count))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(address string) string {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprintln(conn, "hello")
		answer, _ := bufio.NewReader(conn).ReadString('\n')
		return answer
	}
	configure(s.address, "2")
	pid := s.start()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	// What was opened for the parts that could be done is closed again.
	descriptors := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	configure(taken.Addr().String(), "7")
	logFile := regexp.MustCompile(`(?m)^file = .*$`)
	edit := func(line string) {
		path := filepath.Join(s.dir, "exampled.toml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, logFile.ReplaceAll(text, []byte(line)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit(`file = "` + filepath.Join(s.dir, "log", "other.log") + `"`)
	before := descriptors()
	for range 5 {
		s.want(1, `address is in use`, "reload")
	}
	if after := descriptors(); after > before {
		t.Errorf("failed reloads left %d descriptors open", after-before)
	}
	edit(`file = ""`)
	s.want(0, `, 2 workers, `, "status")
	if answer := ask(s.address); answer != "TRUE\n" {
		t.Errorf("after the failed reload the old address answers %q", answer)
	}

	next := freeAddress(t)
	configure(next, "7")
	s.want(0, fmt.Sprintf(`reloaded \(pid %d, generation 2\)`, pid), "reload")
	s.want(0, `, 7 workers, `, "status")
	if answer := ask(next); answer != "TRUE\n" {
		t.Errorf("the new address answers %q", answer)
	}
	if conn, err := net.Dial("tcp", s.address); err == nil {
		_ = conn.Close()
		t.Error("the old address still accepts")
	}
}

// Without any configuration the service can be looked at in the foreground, as
// built, and nothing else.
func TestBuiltInConfiguration(t *testing.T) {
	s := newService(t)
	if os.Geteuid() == 0 {
		if _, err := os.Stat("/etc/exampled/exampled.toml"); err == nil {
			t.Fatal("the exemplar is installed on this machine: remove /etc/exampled")
		}
	}
	s.env = append(s.env, "EXAMPLED_CONFIG=", "XDG_CONFIG_HOME="+filepath.Join(s.dir, "etc"))
	s.want(6, `no such file`, "start")
	s.want(6, `no such file`, "check")
	cmd := exec.Command(s.binary, "foreground")
	cmd.Env, cmd.Dir = s.env, s.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if code, _ := s.run("status", "--ready"); code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not ready after 20 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.want(0, `generation 2`, "reload")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
