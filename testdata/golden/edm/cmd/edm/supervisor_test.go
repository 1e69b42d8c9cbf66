package main

// What a supervisor such as systemd sees and gives: notifications, the watchdog,
// sockets.

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/edm/internal/leftout"
	"example.com/edm/internal/wire"
)

// supervisor listens where a service says how it does (sd_notify(3)).
type supervisor struct {
	i      *instance
	conn   *net.UnixConn
	socket string

	mu       sync.Mutex
	messages []string
}

func newSupervisor(i *instance) *supervisor {
	i.t.Helper()
	s := &supervisor{i: i, socket: filepath.Join(i.dir, "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = conn.Close() })
	if err := os.Chmod(s.socket, 0o777); err != nil {
		i.t.Fatal(err)
	}
	s.conn = conn
	go s.receive()
	return s
}

func (s *supervisor) receive() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.conn.Read(buffer)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.messages = append(s.messages, string(buffer[:n]))
		s.mu.Unlock()
	}
}

// foreground runs the service below the supervisor.
func (s *supervisor) foreground(more ...string) *exec.Cmd {
	s.i.t.Helper()
	cmd := s.i.command("foreground")
	cmd.Env = append(slices.Clone(s.i.env), append(more, "NOTIFY_SOCKET="+s.socket)...)
	cmd.Stderr = s.i.stderr()
	if err := cmd.Start(); err != nil {
		s.i.t.Fatal(err)
	}
	return cmd
}

// count is how many messages have a line that matches.
func (s *supervisor) count(pattern string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := regexp.MustCompile("(?m)^" + pattern + "$")
	n := 0
	for _, message := range s.messages {
		if line.MatchString(message) {
			n++
		}
	}
	return n
}

// await waits for the n-th message with a line that matches.
func (s *supervisor) await(pattern string, n int) {
	s.i.t.Helper()
	s.i.eventually(fmt.Sprintf("message %d with %s", n, pattern), func() bool { return s.count(pattern) >= n })
}

// Pitfalls 43, 44 and 45: what a supervisor is told, and when.
func TestNotifications(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	s := newSupervisor(i)
	cmd := s.foreground("WATCHDOG_USEC=300000", "LISTEN_PID=1", "LISTEN_FDS=3")
	s.await("READY=1", 1)
	s.await("STATUS=ready .*", 1)
	s.await("WATCHDOG=1", 3)
	if environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid)); err == nil &&
		regexp.MustCompile(`NOTIFY_SOCKET|WATCHDOG_|LISTEN_`).Match(environ) {
		t.Errorf("a job would take for its own: %q", environ)
	}
	i.want(0, `generation 2`, "reload")
	s.await("READY=1", 2)
	i.writeConfig("[nosuch]\n")
	i.want(6, ``, "reload")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await("READY=1", 3) // also of a reload that failed
	i.writeConfig(i.defaultConfig())
	s.checkReloading()
	if s.count("STOPPING=1") > 0 {
		t.Error("STOPPING=1 before a stop")
	}
	i.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.await("STOPPING=1", 1)
	s.await(`EXTEND_TIMEOUT_USEC=\d+`, 1)
}

// checkReloading looks at the messages about reloads: the time is in the same
// message, and is that of the clock which nobody sets.
func (s *supervisor) checkReloading() {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := 0
	for _, message := range s.messages {
		if !strings.Contains(message, "RELOADING=1") {
			continue
		}
		found++
		match := regexp.MustCompile(`(?m)^MONOTONIC_USEC=(\d+)$`).FindStringSubmatch(message)
		if match == nil {
			s.i.t.Errorf("message %q: no MONOTONIC_USEC", message)
			continue
		}
		usec, _ := strconv.ParseInt(match[1], 10, 64)
		if uptime := uptime(s.i.t); time.Duration(usec)*time.Microsecond > uptime || time.Duration(usec)*time.Microsecond < uptime-time.Minute {
			s.i.t.Errorf("MONOTONIC_USEC is %d, the machine is up for %s", usec, uptime)
		}
	}
	if found != 2 {
		s.i.t.Errorf("%d messages about a reload, want 2", found)
	}
}

// uptime is CLOCK_BOOTTIME, which is that of CLOCK_MONOTONIC on a machine that
// does not sleep.
func uptime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		leftout.Impossible(t, err.Error())
	}
	seconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds*float64(time.Second)) + time.Second
}

// Pitfall 54: the supervisor follows an upgrade to the other pid, before the
// first process ends, and nobody who starts meanwhile gets a second service.
func TestSupervisedUpgrades(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	s := newSupervisor(i)
	cmd := s.foreground()
	s.await("READY=1", 1)
	done := make(chan struct{})
	var starts sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(done)
		starts.Wait()
	})
	defer end()
	starts.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if o := i.run("start"); o.code != 0 || !strings.Contains(o.stdout, "already running") {
				t.Errorf("start during an upgrade: exit %d, %q, %q", o.code, o.stdout, o.stderr)
				return
			}
		}
	})
	pid := 0
	const rounds = 5
	for n := range rounds {
		pid = i.upgrade()
		s.await(fmt.Sprintf("MAINPID=%d", pid), 1)
		if n == 0 {
			// Told of the other one, it may end; nobody waits for its exit.
			if err := cmd.Wait(); err != nil {
				t.Errorf("the process that was replaced: %v", err)
			}
		}
	}
	end()
	if s.count("STOPPING=1") > 0 {
		t.Error("STOPPING=1 because of an upgrade")
	}
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	s.await("STOPPING=1", 1)
}

var upgradedText = regexp.MustCompile(`: upgraded \(pid (\d+) -> (\d+)\)\n$`)

// upgrade upgrades the service to the same program, and returns its new pid.
func (i *instance) upgrade(args ...string) int {
	i.t.Helper()
	o := i.want(0, upgradedText.String(), append([]string{"upgrade"}, args...)...)
	pid, err := strconv.Atoi(upgradedText.FindStringSubmatch(o.stdout)[2])
	if err != nil {
		i.t.Fatal(err)
	}
	return pid
}

// A supervisor that can't follow to another pid keeps the process that it has
// started, which stands for the service.
func TestForegroundUpgrade(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	cmd := i.command("foreground")
	cmd.Stderr = i.stderr()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.eventually("ready", func() bool { return i.run("status", "--ready").code == 0 })
	first := i.upgrade()
	second := i.upgrade()
	if first == cmd.Process.Pid || second == first || !alive(cmd.Process.Pid) {
		t.Fatalf("pid %d was started, and then %d and %d serve", cmd.Process.Pid, first, second)
	}
	i.eventually("the one in between is gone", func() bool { return !alive(first) })
	// A request to the one that the supervisor knows reaches the service.
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	i.eventually("reloaded", func() bool { return strings.Contains(i.run("--json", "status").stdout, `"generation":4`) })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if alive(second) {
		t.Error("the service outlives the process that its supervisor knows")
	}
	i.want(3, ``, "status")
}

// placeOfAddress returns where in a configuration HOST:PORT of a transport is that
// listens on TCP; 0, 0 if there is none.
func placeOfAddress(text string) (from, to int) {
	for name, defaults := range wire.Transports {
		if listens := defaults().Listens(); len(listens) == 0 || listens[0].Network != "tcp" {
			continue
		}
		address := regexp.MustCompile(`(?s)\n\[transport\.` + name + `\]\n.*?\n(?:listen|bind) = .*?([0-9.]+:0)"`)
		if place := address.FindStringSubmatchIndex(text); place != nil {
			return place[2], place[3]
		}
	}
	return 0, 0
}

// Sockets that a supervisor has passed are used, by their name or address.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	i := newInstance(t)
	text := i.defaultConfig()
	from, to := placeOfAddress(text)
	if from == 0 {
		t.Skip("no transport of this service listens on TCP")
	}
	i.writeConfig(text[:from] + listener.Addr().String() + text[to:])
	i.want(1, `in use`, "foreground") // the test holds the address
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	// Only the process itself can say that the sockets are for it.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec "$0" foreground`, i.program)
	cmd.Env, cmd.Dir, cmd.ExtraFiles, cmd.Stderr = i.env, i.dir, []*os.File{file}, i.stderr()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.eventually("ready", func() bool { return i.run("status", "--ready").code == 0 })
	i.upgrade()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Errorf("nobody serves the socket: %v", err)
	} else {
		_ = conn.Close()
	}
	i.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
