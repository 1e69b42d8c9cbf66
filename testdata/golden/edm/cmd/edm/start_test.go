package main

// Pitfalls 13 to 23: a start succeeds or says why not, and the daemon has
// nothing of its caller.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/edm/internal/leftout"
	"example.com/edm/internal/nettest"
)

// Pitfall 13: what can't start says so, with its cause, leaves no process, and
// is not taken for running or crashed. None of these waits for its deadline,
// which is longer than the test may take.
func TestStartFails(t *testing.T) {
	t.Parallel()
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
		o := i.want(c.code, c.pattern, "start", "--wait", "1h")
		if o.stdout != "" {
			t.Errorf("%s: start printed %q", what, o.stdout)
		}
		i.writeConfig(i.defaultConfig())
		i.wantDown()
	}
	i.start()
}

// Pitfall 13: so does a service whose own code fails in the start, and one whose
// address is taken.
func TestStartFailsInside(t *testing.T) {
	t.Parallel()
	for how, pattern := range map[string]string{
		"panic": `: start: handler: panic: the probe was told to panic\n$`,
		"exit":  `: start: the daemon died before it was ready\n$`,
	} {
		t.Run(how, func(t *testing.T) {
			p := newProbe(t)
			p.startSays(how)
			if o := p.want(1, pattern, "start", "--wait", "1h"); o.stdout != "" {
				t.Errorf("start printed %q", o.stdout)
			}
			p.wantDown()
			p.startSays("")
			p.start()
		})
	}
	t.Run("address", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = taken.Close() }()
		p := newProbe(t)
		p.set("listen", `"`+taken.Addr().String()+`"`)
		p.want(1, regexp.QuoteMeta(taken.Addr().String())+`: the address is in use`, "start", "--wait", "1h")
		p.wantDown()
	})
}

// Pitfall 14: the death of a daemon that is starting is seen at once, and not at
// a deadline, which would be beyond the test's.
func TestKilledWhileStarting(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.startSays("hang")
	start := p.background("start", "--wait", "1h")
	if err := syscall.Kill(p.startingPid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.check(<-start, 1, `died before it was ready`, "start")
	p.wantDown()
}

// background makes a call, and returns where its outcome will arrive.
func (i *instance) background(args ...string) <-chan outcome {
	outcomes := make(chan outcome, 1)
	go func() { outcomes <- i.run(args...) }()
	return outcomes
}

// startingPid waits until there is a daemon, and it is starting.
func (i *instance) startingPid() int {
	i.t.Helper()
	var o outcome
	i.eventually("it is starting", func() bool {
		o = i.run("status")
		return strings.Contains(o.stdout, "starting (pid ")
	})
	i.want(150, ``, "status", "--ready")
	return i.pid(o)
}

// Pitfall 15: the moment that start returns, the pidfile tells the daemon that
// serves already.
func TestReadyIsReady(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	address := nettest.FreeAddress(t)
	p.set("listen", `"`+address+`"`)
	for range rounds(5, 1000) {
		pid := p.start()
		if text, err := os.ReadFile(p.pidfile()); err != nil || string(text) != fmt.Sprintf("%d\n", pid) {
			t.Fatalf("pidfile: %q, %v; want the pid %d", text, err, pid)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		p.want(0, fmt.Sprintf(`ready \(pid %d\)`, pid), "status", "--ready")
		p.want(0, `: stopped`, "stop")
	}
}

// Pitfall 16: a shell that wants the output of start gets it, and goes on.
func TestStartInASubshell(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	o := i.check(i.runInShell(`x=$(D start 2>&1); echo "then $x"`), 0, `(?s)^then .*: started \(pid \d+\)\n$`, "start")
	i.want(0, fmt.Sprintf(`\(pid %d\)`, i.pid(o)), "status")
}

// Pitfalls 16 and 17: a caller that reads the output of start gets to its end,
// and nothing that the caller has open gets into the daemon.
func TestStartHoldsNothingOfTheCaller(t *testing.T) {
	t.Parallel()
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
	cmd := i.command("start")
	cmd.ExtraFiles = files
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
		if errors.Is(err, fs.ErrNotExist) {
			continue // closed by now
		}
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

// Pitfall 17: what a job starts has the standard descriptors and no other,
// neither of the caller's nor of the daemon's.
func TestJobsHoldNothing(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	secret, err := os.Open(p.config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = secret.Close() }()
	p.startWithOpen(slices.Repeat([]*os.File{secret}, 20))
	// The last is that of ls itself.
	if got := p.ask("run ls /proc/self/fd"); strings.Join(strings.Fields(got), " ") != "0 1 2 3 <nil>" {
		t.Errorf("a job's program has the descriptors %q, want 0 1 2 3", got)
	}
}

// ignoresNothing matches /proc/PID/status of a process that ignores no signal,
// since what is ignored stays so in the programs of a job (pitfall 19). Signals
// 32 and 33 are the C library's own, and no business of a program: whoever is
// started by glibc's posix_spawn, as by make, has 32 ignored.
const ignoresNothing = `(?m)^SigIgn:\t0{7}[01][08]0{7}$`

// The facts of daemon(7): a session that it does not lead, no terminal.
func TestProcessFacts(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.checkProcess(i.start())
}

// checkProcess looks at the daemon from outside.
func (i *instance) checkProcess(pid int) {
	t := i.t
	t.Helper()
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || string(comm) != name[:min(15, len(name))]+"\n" {
		t.Errorf("ps shows it as %q, %v", comm, err)
	}
	stat := statOf(pid)
	if len(stat) < 5 || stat[3] == strconv.Itoa(pid) || stat[4] != "0" { // pitfall 18
		t.Errorf("pid %d has session and terminal of %q", pid, stat)
	}
	// Its parent is whoever adopts orphans, process 1 or these tests, once no
	// thread is left of the process that has started it.
	i.eventually("the daemon is an orphan", func() bool {
		stat := statOf(pid)
		return len(stat) > 1 && (stat[1] == "1" || stat[1] == strconv.Itoa(os.Getpid()))
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	i.blocksNothing(pid)
	for _, pattern := range []string{`(?m)^NoNewPrivs:\t1$`, ignoresNothing, `(?m)^Umask:\t0027$`} {
		if !regexp.MustCompile(pattern).Match(status) {
			t.Errorf("no match of %q in\n%s", pattern, status)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("core files: %v\n%s", err, limits)
	}
}

// blocksNothing checks that any signal finds a thread of process pid that takes it.
// A single one may block them: Go's runtime has one that takes no others than those
// that the program asks for, and that may be the main one.
func (i *instance) blocksNothing(pid int) {
	i.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		i.t.Fatalf("pid %d has no threads (%v)", pid, err)
	}
	blocked := ^uint64(0)
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended meanwhile
		}
		found := regexp.MustCompile(`(?m)^SigBlk:\t([0-9a-f]+)$`).FindSubmatch(text)
		if len(found) == 0 {
			i.t.Fatalf("%s: %v\n%s", thread, err, text)
		}
		mask, err := strconv.ParseUint(string(found[1]), 16, 64)
		if err != nil {
			i.t.Fatal(err)
		}
		blocked &= mask
	}
	if blocked != 0 {
		i.t.Errorf("every thread of pid %d blocks the signals %016x", pid, blocked)
	}
}

// Pitfall 19: nohup, and a caller who has closed its standard descriptors, get
// the same daemon as anybody.
func TestOddCallers(t *testing.T) {
	t.Parallel()
	for what, line := range map[string]string{
		"nohup":              `nohup D start </dev/null`,
		"setpriv":            `setpriv --no-new-privs --inh-caps=-all D start`,
		"closed descriptors": `exec D start <&- >&- 2>&-`,
		"closed output":      `exec D start >&-`,
	} {
		t.Run(what, func(t *testing.T) {
			if program, _, _ := strings.Cut(line, " "); program != "exec" {
				leftout.Program(t, program)
			}
			i := newInstance(t)
			i.check(i.runInShell(line), 0, ``, what)
			i.want(0, `ready`, "status", "--ready")
			pid := i.status().PID
			for fd := range 3 {
				target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
				if err != nil || target != os.DevNull && !strings.HasPrefix(target, i.dir) {
					t.Errorf("descriptor %d of the daemon is %s, %v", fd, target, err)
				}
			}
			i.want(0, `generation 2`, "reload")
			if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			i.eventually("HUP reloads", func() bool { return i.status().Generation == 3 })
			i.want(0, `: stopped`, "stop")
		})
	}
}

// Pitfall 20: TERM at any moment of the start leaves nothing behind.
func TestTermWhileStarting(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	begin := time.Now()
	first := i.foreground()
	took := time.Since(begin)
	i.want(0, `: stopped`, "stop")
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	moments := rounds(20, 200)
	for n := range moments {
		cmd := i.command("foreground")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(took * time.Duration(n) / time.Duration(moments)) // spread over it
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		i.want(3, `not running`, "status")
	}
}

// Pitfall 20: the caller of a start that was stopped is told so.
func TestStoppedWhileStarting(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.startSays("stopped")
	start := p.background("start", "--wait", "1h")
	if err := syscall.Kill(p.startingPid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.check(<-start, 1, `: start: stopped while starting\n$`, "start")
	p.wantDown()
}

// Pitfall 21: relative paths of the caller hold when its directory is gone.
func TestRelativePaths(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	caller := filepath.Join(i.dir, "caller")
	if err := os.Mkdir(caller, 0o755); err != nil {
		t.Fatal(err)
	}
	start := i.command("--config", filepath.Join("..", filepath.Base(i.config)), "--run-dir", "../other", "start")
	start.Dir, start.Env = caller, append(slices.Clone(i.env), "LOGS_DIRECTORY=../log")
	i.env = append(i.env, parts().EnvPrefix()+"DAEMON_RUN_DIR="+filepath.Join(i.dir, "other"))
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(caller); err != nil {
		t.Fatal(err)
	}
	i.want(0, `generation 2`, "reload")
	i.want(0, `: stopped`, "stop")
}

// Pitfall 22: the files of the service have the modes that are configured,
// whatever the umask of the caller.
func TestUmaskOfTheCaller(t *testing.T) {
	t.Parallel()
	var first map[string]fs.FileMode
	for _, umask := range []string{"022", "000", "077"} {
		i := newInstance(t)
		i.check(i.runInShell("umask "+umask+"; exec D start"), 0, `started`, "start")
		modes := make(map[string]fs.FileMode)
		err := filepath.WalkDir(i.dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			modes[strings.TrimPrefix(path, i.dir)] = info.Mode()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = modes
		}
		for path, mode := range modes {
			if first[path] != mode {
				t.Errorf("umask %s: %s has mode %v, want %v", umask, path, mode, first[path])
			}
		}
		i.want(0, `: stopped`, "stop")
	}
}

// Pitfall 22: of the environment the daemon, and what its jobs start, have what
// is listed and no more.
func TestEnvironmentOfTheCaller(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.env = append(p.env, "GODEBUG=gctrace=1", "LD_PRELOAD=/nosuch.so", "AWS_SECRET_ACCESS_KEY=hunter2",
		"SSH_AUTH_SOCK=/nosuch", "LC_TEST=C")
	pid := p.start()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(`^(PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|GOMAXPROCS|GOMEMLIMIT|GOGC|GORACE|SSL_CERT_FILE|SSL_CERT_DIR|DAEMON_HANDOVER|` +
		probeInit + `|` + probeStop + `)=`)
	for _, variable := range strings.Split(strings.Trim(string(environ), "\x00"), "\x00") {
		if !allowed.MatchString(variable) {
			t.Errorf("the daemon has %s", variable)
		}
	}
	if !strings.Contains(string(environ), "LC_TEST=C\x00") {
		t.Error("the daemon has lost the locale")
	}
	if env := p.ask("run env"); regexp.MustCompile(`(?m)^(LD_|GODEBUG|AWS_|SSH_|DAEMON_|NOTIFY_|LISTEN_)`).MatchString(env) {
		t.Errorf("a job's program has\n%s", env)
	}
}

// Pitfall 22: the daemon may open as many files as are configured, whatever the
// caller may.
func TestLimitsOfTheCaller(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.check(i.runInShell("ulimit -Sn 64; exec D start"), 0, `started`, "start")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", i.status().PID))
	if err != nil || regexp.MustCompile(`(?m)^Max open files +64 `).Match(limits) {
		t.Errorf("the limit of the caller counts: %v\n%s", err, limits)
	}
	i.want(0, `: stopped`, "stop")
	i.set("nofile", "777")
	i.set("core_limit", `"1 MiB"`)
	limits, err = os.ReadFile(fmt.Sprintf("/proc/%d/limits", i.start()))
	for _, pattern := range []string{`(?m)^Max open files +777 +777 `, `(?m)^Max core file size +1048576 +1048576 `} {
		if err != nil || !regexp.MustCompile(pattern).Match(limits) {
			t.Errorf("the limits are not as configured: %v\n%s", err, limits)
		}
	}
}

// Pitfall 23: of a start that is not ready in time nothing is left.
func TestStartInTime(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.startSays("hang")
	p.want(150, `not ready in time \(300ms\)`, "start", "--wait", "300ms")
	p.wantDown()
	p.startSays("")
	p.start()
}
