package templates_test

// Starts and reloads that can't succeed, and those that can.

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
	pattern := regexp.MustCompile(`starting \(pid (\d+)\)`)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		_, out := s.run("status")
		if match := pattern.FindStringSubmatch(out); match != nil {
			pid, _ := strconv.Atoi(match[1]) // digits
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
	}
	s.t.Error("the daemon was not seen starting") // not Fatal: this is a goroutine of its own
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
	s.set("worker.count", "2")
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
	s.set("transport.tcp.listen", strconv.Quote(taken.Addr().String()))
	s.set("worker.count", "7")
	s.set("log.file", strconv.Quote(filepath.Join(s.dir, "log", "other.log")))
	before := descriptors()
	for range 5 {
		s.want(1, `address is in use`, "reload")
	}
	s.eventually("failed reloads leave no descriptor open", func() bool { return descriptors() <= before })
	s.want(0, `, 2 workers, `, "status")
	if answer := ask(s.address); answer != "TRUE\n" {
		t.Errorf("after the failed reload the old address answers %q", answer)
	}

	next := freeAddress(t)
	s.set("transport.tcp.listen", strconv.Quote(next))
	s.set("log.file", `""`)
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
	s.env = append(s.env, "EXAMPLED_CONFIG=", "EXAMPLED_TRANSPORT_TCP_LISTEN="+s.address, "XDG_CONFIG_HOME="+filepath.Join(s.dir, "etc"))
	s.want(6, `no such file`, "start")
	s.want(6, `no such file`, "check")
	cmd := exec.Command(s.binary, "foreground")
	cmd.Env, cmd.Dir = s.env, s.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually("ready", func() bool { code, _ := s.run("status", "--ready"); return code == 0 })
	s.want(0, `generation 2`, "reload")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
