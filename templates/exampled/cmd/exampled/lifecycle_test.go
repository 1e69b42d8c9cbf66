package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestStartStatusReloadStop(t *testing.T) {
	i := newInstance(t)
	i.want(3, `: not running\n$`, "status")
	i.want(0, `: not running\n$`, "stop")
	i.want(7, `: reload: not running\n$`, "reload")

	pid := i.start()
	if text, err := os.ReadFile(i.pidfile()); err != nil || string(text) != fmt.Sprintf("%d\n", pid) {
		t.Fatalf("pidfile: %q, %v; want the pid %d", text, err, pid) // pitfall 15
	}
	i.want(0, fmt.Sprintf(`: ready \(pid %d\), up \d+s, \d+ workers, 0 in flight, 0 done, 0 failed\n$`, pid), "status")
	i.want(0, ``, "status", "--ready")
	i.want(0, fmt.Sprintf(`: already running \(pid %d\)\n$`, pid), "start")
	i.want(0, fmt.Sprintf(`: reloaded \(pid %d, generation 2\)\n$`, pid), "reload")
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)\n$`, pid), "stop")

	if alive(pid) {
		t.Error("the process is there after stop") // pitfall 31
	}
	if info, err := os.Stat(i.pidfile()); err != nil || info.Size() != 0 {
		t.Errorf("pidfile after stop: %v, %v; want it empty", info, err)
	}
	i.want(3, `: not running\n$`, "status")
}

func TestRestart(t *testing.T) {
	i := newInstance(t)
	i.want(0, `: started`, "restart")
	before := i.pid(i.want(0, ``, "status"))
	i.writeConfig("[worker]\ncount = -1\n")
	i.want(6, `worker\.count: `, "restart")
	if !alive(before) {
		t.Fatal("restart with a broken configuration ended the service")
	}
	i.writeConfig(i.defaultConfig())
	after := i.pid(i.want(0, `: started`, "restart"))
	if after == before || alive(before) {
		t.Errorf("restart: pid %d, then %d; want another process and the first gone", before, after)
	}
}

func TestJSON(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	var r result
	if err := json.Unmarshal([]byte(i.want(0, ``, "--json", "status").stdout), &r); err != nil {
		t.Fatal(err)
	}
	if r.Name != name || r.Command != "status" || r.PID != pid || r.State != "ready" || r.Generation != 1 || r.Version == "" {
		t.Errorf("status --json: %+v", r)
	}
	i.want(0, `"result":"stopped \(pid \d+\)"`, "stop", "--json")
	i.want(7, `"error":"not running"`, "--json", "reload")
}

func TestUsage(t *testing.T) {
	i := newInstance(t)
	for _, args := range [][]string{
		{}, {"nosuch"}, {"start", "stop"}, {"--nosuch", "start"}, {"start", "--nosuch"}, {"stop", "--timeout", "soon"}, {"help", "nosuch"},
	} {
		o := i.run(args...)
		if o.code != 2 || o.stdout != "" || !strings.Contains(o.stderr, "usage: "+name) {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want 2 and the usage on stderr", args, o.code, o.stdout, o.stderr)
		}
	}
	for _, args := range [][]string{{"help"}, {"--help"}, {"help", "start"}, {"start", "--help"}, {"version"}} {
		if o := i.run(args...); o.code != 0 || o.stdout == "" || o.stderr != "" {
			t.Errorf("%q: exit %d, stdout %q, stderr %q; want 0 and an answer on stdout", args, o.code, o.stdout, o.stderr)
		}
	}
}

func TestCheck(t *testing.T) {
	i := newInstance(t)
	i.want(0, ` is valid\n$`, "check")
	i.writeConfig("[worker]\ncount = 0\nnosuch = 1\n[log]\nlevel = \"loud\"\n")
	o := i.want(6, `:2:\d+: worker\.count: `, "check")
	for _, pattern := range []string{`:3:\d+: worker\.nosuch: `, `:5:\d+: log\.level: `} {
		if !regexp.MustCompile(pattern).MatchString(o.stderr) {
			t.Errorf("check does not say %q: %s", pattern, o.stderr)
		}
	}
	if err := os.Remove(i.config); err != nil {
		t.Fatal(err)
	}
	i.want(6, regexp.QuoteMeta(i.config), "check")
	if entries, _ := filepath.Glob(filepath.Join(i.dir, "*")); len(entries) != 0 {
		t.Errorf("check left %v", entries)
	}
}

// Pitfalls 13 and 14: what can't start says so, with its cause, leaves no
// process, and is not taken for running or crashed.
func TestStartFails(t *testing.T) {
	i := newInstance(t)
	broken := i.defaultConfig() + "\n[nosuch]\n"
	for what, c := range map[string]struct {
		prepare func()
		code    int
		pattern string
	}{
		"configuration": {func() { i.writeConfig(broken) }, 6, `nosuch`},
		"log":           {func() { i.set("file", `"/proc/nosuch/x.log"`) }, 1, `/proc/nosuch/x\.log`},
	} {
		i.writeConfig(i.defaultConfig())
		c.prepare()
		o := i.want(c.code, c.pattern, "start", "--wait", "50s")
		if o.stdout != "" {
			t.Errorf("%s: start printed %q", what, o.stdout)
		}
		i.writeConfig(i.defaultConfig())
		i.want(3, `: not running`, "status")
	}
	i.start()
}

// Pitfall 1: starts at the same time make one daemon, and all of them tell of
// it.
func TestParallelStarts(t *testing.T) {
	i := newInstance(t)
	for round := range 3 {
		outcomes := make([]outcome, 24)
		var starts sync.WaitGroup
		for n := range outcomes {
			starts.Go(func() { outcomes[n] = i.run("start") })
		}
		starts.Wait()
		started, pids := 0, make(map[int]bool)
		for _, o := range outcomes {
			if o.code != 0 {
				t.Fatalf("round %d: a start exited %d: %s", round, o.code, o.stderr)
			}
			pids[i.pid(o)] = true
			if strings.Contains(o.stdout, ": started") {
				started++
			}
		}
		if len(pids) != 1 || started != 1 {
			t.Fatalf("round %d: pids %v, %d say started; want one", round, pids, started)
		}
		i.want(0, `: stopped`, "stop")
	}
}

// Pitfalls 4 and 6: a pidfile that a killed daemon has left, or that holds
// nonsense, neither blocks a start nor leads a signal to a stranger.
func TestStalePidfile(t *testing.T) {
	i := newInstance(t)
	i.kill(i.start())
	i.want(1, `: dead, `, "status")

	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	for _, text := range []string{
		fmt.Sprintf("%d\n", stranger.Process.Pid), "", "0\n", "-1\n", "1\n", "abc\n", strings.Repeat("9", 20), "\x00\x00", strings.Repeat("7", 1<<20),
	} {
		if err := os.WriteFile(i.pidfile(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		i.want(0, `: not running\n$`, "stop")
		i.want(7, ``, "reload")
		if !alive(stranger.Process.Pid) {
			t.Fatalf("pidfile %.20q: a stranger was killed", text)
		}
		pid := i.start()
		i.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
		i.kill(pid)
	}
}

// Pitfall 8: the daemon's user could write another pid through the descriptor
// that it has; only who holds the lock is ever signalled.
func TestPidfileOverwritten(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	if err := os.WriteFile(i.pidfile(), fmt.Appendf(nil, "%d\n", stranger.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	if !alive(stranger.Process.Pid) {
		t.Error("a stranger was killed")
	}
}

// Pitfall 7: root does not follow a link that stands in place of the pidfile.
func TestPidfileIsALink(t *testing.T) {
	i := newInstance(t)
	victim := filepath.Join(i.dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(i.pidfile()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, i.pidfile()); err != nil {
		t.Fatal(err)
	}
	i.want(4, `symbolic link`, "start")
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("the victim is %q, %v", text, err)
	}
}

// Pitfalls 38, 39 and 42: whatever the file holds, HUP neither ends the service
// nor changes its pid, and the last good configuration counts in the end.
func TestHangups(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	for n := range 200 {
		if n%2 == 0 {
			i.writeConfig("[worker]\ncount = \"many\"\n[")
		} else {
			i.writeConfig(i.defaultConfig())
			i.set("count", fmt.Sprint(1+n%7))
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	i.set("count", "5")
	i.want(0, fmt.Sprintf(`\(pid %d, generation \d+\)`, pid), "reload")
	i.want(0, `, 5 workers, `, "status")
}

// Pitfalls 38 and 40: a reload that fails says why, and changes nothing.
func TestReloadFails(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	good := i.defaultConfig()
	for text, pattern := range map[string]string{
		good + "\n[nosuch]\n":                           `:\d+:\d+: nosuch: `,
		good + "\n= = =\n":                              `:\d+:\d+: `,
		strings.Replace(good, "user = ", "user = [", 1): `:\d+:\d+: `,
		good + "\n[worker2]\nx = 1\n":                   `worker2`,
		"\x00\x01\x02":                                  `:1:\d+: `,
		strings.ReplaceAll(good, "info", "loud"):        `log\.level: `,
	} {
		i.writeConfig(text)
		i.want(6, pattern, "reload")
		i.want(0, fmt.Sprintf(`ready \(pid %d\)`, pid), "status")
	}
	if err := os.Remove(i.config); err != nil {
		t.Fatal(err)
	}
	i.want(6, ``, "reload")
	i.writeConfig(good)
	i.set("umask", `"0077"`)
	i.want(152, `needs a restart: daemon\.umask \(try `+name+` restart\)\n$`, "reload")
	i.writeConfig(good)
	i.want(0, `generation 2`, "reload")
}

// Pitfalls 16 and 17: a caller that reads the output of start gets to its end,
// and nothing that the caller has open gets into the daemon.
func TestStartHoldsNothingOfTheCaller(t *testing.T) {
	i := newInstance(t)
	secret, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = secret.Close() }()
	for range 10 {
		i.startWithOpen(slices.Repeat([]*os.File{secret}, 20))
		i.want(0, `: stopped`, "stop")
	}
}

// startWithOpen starts the service from a caller who has files open, and looks
// at what the daemon has open the moment that start returns.
func (i *instance) startWithOpen(files []*os.File) {
	t := i.t
	t.Helper()
	cmd := exec.Command(binary, "start")
	cmd.Env, cmd.Dir, cmd.ExtraFiles = i.env, i.dir, files
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := i.pid(outcome{stdout: string(out)})
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			t.Fatal(err)
		}
		n := filepath.Base(fd)
		standard := n == "0" || n == "1" || n == "2"
		if strings.HasPrefix(target, "pipe:") || target == os.DevNull && !standard {
			t.Errorf("descriptor %s of the daemon is %s", n, target)
		}
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("the daemon's directory is %s, %v", cwd, err) // pitfall 21
	}
}

// The facts of daemon(7): a session that it does not lead, no terminal.
func TestProcessFacts(t *testing.T) {
	i := newInstance(t)
	start := exec.Command(binary, "start")
	start.Env, start.Dir = i.env, i.dir
	if os.Geteuid() == 0 { // who has groups that the daemon must not keep
		start.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27}}}
	}
	out, err := start.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := i.pid(outcome{stdout: string(out)})
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(stat), ") ")
	if _, comm, _ := strings.Cut(before, "("); comm != name[:min(15, len(name))] {
		t.Errorf("ps shows it as %q", comm)
	}
	var state string
	var parent, group, session, tty int
	if _, err := fmt.Sscan(after, &state, &parent, &group, &session, &tty); err != nil {
		t.Fatal(err)
	}
	if session == pid || tty != 0 || parent == os.Getpid() { // pitfall 18
		t.Errorf("pid %d has session %d, terminal %d, parent %d", pid, session, tty, parent)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{`(?m)^NoNewPrivs:\t1$`, `(?m)^SigBlk:\t0+$`, `(?m)^Umask:\t0027$`} {
		if !regexp.MustCompile(pattern).Match(status) {
			t.Errorf("no match of %q in\n%s", pattern, status)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	// Pitfalls 24, 25, 26: every thread has given up the rights of root.
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^(Uid|Gid):(\t0)+$|^Cap(Prm|Eff|Amb):\t.*[1-9a-f].*$|^Groups:.*\b(0|4|27)\b`)
	for _, thread := range threads {
		if status, err := os.ReadFile(thread); err != nil || rights.Match(status) {
			t.Errorf("%s, %v: %q", thread, err, rights.FindAll(status, -1))
		}
	}
}

// A second daemon in the foreground is refused, and one in the foreground is
// known to the other commands.
func TestForeground(t *testing.T) {
	i := newInstance(t)
	cmd := exec.Command(binary, "foreground")
	var stderr strings.Builder
	cmd.Env, cmd.Dir, cmd.Stderr = i.env, i.dir, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.eventually("status says ready", func() bool { return i.run("status", "--ready").code == 0 })
	if pid := i.pid(i.want(0, ``, "status")); pid != cmd.Process.Pid {
		t.Errorf("status says pid %d, want %d, whom the supervisor knows", pid, cmd.Process.Pid)
	}
	i.want(1, `already running`, "foreground")
	i.want(0, `already running`, "start")
	i.want(0, `generation 2`, "reload")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("foreground after INT: %v\n%s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), "ready") || !strings.Contains(stderr.String(), "stopped") {
		t.Errorf("the log on stderr is\n%s", stderr.String())
	}
}

// Pitfall 46: after a rotation and USR1 the log goes on in a new file.
func TestReopen(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	file := filepath.Join(i.dir, "log", name+".log")
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	i.eventually("the log is there again", func() bool { return strings.Contains(i.log(), "log reopened") })
}

// Pitfall 33: a suspended daemon can be stopped.
func TestStopSuspended(t *testing.T) {
	i := newInstance(t)
	if err := syscall.Kill(i.start(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if o := i.want(0, `: stopped`, "stop", "--timeout", "30s"); o.stderr != "" {
		t.Errorf("stop says %q", o.stderr)
	}
}

// Pitfall 20: TERM at any moment of the start leaves nothing behind.
func TestTermWhileStarting(t *testing.T) {
	i := newInstance(t)
	for n := range 10 {
		cmd := exec.Command(binary, "foreground")
		cmd.Env, cmd.Dir = i.env, i.dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(n) * 3 * time.Millisecond) // spread over the start
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		i.want(3, `not running`, "status")
	}
}

// Pitfall 30: a configuration that only the starter can read serves for start
// and reload, though the daemon is another user.
func TestPrivateConfiguration(t *testing.T) {
	i := newInstance(t)
	if err := os.Chmod(i.config, 0o600); err != nil {
		t.Fatal(err)
	}
	pid := i.start()
	i.set("count", "3")
	i.want(0, `generation 2`, "reload")
	i.want(0, fmt.Sprintf(`ready \(pid %d\), .* 3 workers`, pid), "status")
	if os.Geteuid() != 0 {
		return
	}
	// The signal leaves it to the daemon. It has the file open, which is enough
	// as long as it is the same one; of another it says so, and goes on.
	i.set("count", "4")
	i.hangUp(pid, "generation=3")
	i.want(0, `, 4 workers, `, "status")
	text, err := os.ReadFile(i.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(i.config, i.config+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	i.hangUp(pid, "can't read")
	i.want(0, `, 4 workers, .*the last reload failed`, "status")
}

// hangUp sends HUP and waits until the log says what comes of it.
func (i *instance) hangUp(pid int, text string) {
	i.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		i.t.Fatal(err)
	}
	i.eventually("the log says "+text, func() bool { return strings.Contains(i.log(), text) })
}
