package main

// What the tests of the compiled program share: they call it as a person would
// and look from outside.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/fee/internal/daemon"
	"example.com/fee/internal/leftout"
	"example.com/fee/internal/wire/wiretest"
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	if code, ok := playRole(); ok {
		os.Exit(code)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", name+"-test-")
	if err != nil {
		printf(os.Stderr, "%v\n", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// For the user that the service becomes, when it is to execute it.
	if err := os.Chmod(dir, 0o755); err != nil {
		printf(os.Stderr, "%v\n", err)
		return 1
	}
	binary = os.Getenv(programVariable)
	if binary == "" {
		binary = filepath.Join(dir, name)
		err = buildProgram(binary, nil)
	}
	if err == nil {
		err = reapOrphans()
	}
	if err != nil {
		printf(os.Stderr, "%v\n", err)
		return 1
	}
	// They wait more than they compute. A flag of the caller's has precedence.
	if err := flag.Set("test.parallel", "6"); err != nil {
		printf(os.Stderr, "%v\n", err)
		return 1
	}
	return leftout.Main(m)
}

// goBuild builds the program, as these tests are built, with more flags. It is
// linked faster without what only a debugger reads.
func goBuild(program string, flags ...string) error {
	args := append([]string{"build", "-ldflags=-w", "-o", program}, flags...)
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// instance is one service with its own directories, stopped when the test ends.
type instance struct {
	t       *testing.T
	program string
	dir     string
	config  string
	env     []string
}

// newInstance prepares a service with the project's own configuration, except
// that it keeps everything in a temporary directory and listens on free ports.
func newInstance(t *testing.T) *instance {
	t.Helper()
	// Not t.TempDir, which the user that the service becomes could not enter.
	dir, err := os.MkdirTemp("", name+"-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, program: binary, dir: dir, config: filepath.Join(dir, name+".toml")}
	prefix := parts().EnvPrefix()
	i.env = append(os.Environ(),
		prefix+"CONFIG="+i.config,
		prefix+"DAEMON_RUN_DIR="+filepath.Join(dir, "run"),
		prefix+"DAEMON_STATE_DIR="+filepath.Join(dir, "state"),
		// Made by the service for its user, so not directly in dir.
		"LOGS_DIRECTORY="+filepath.Join(dir, "log"),
		// Else each process of a build with the race detector sleeps for a
		// second before it exits.
		"GORACE=atexit_sleep_ms=0",
	)
	t.Cleanup(i.cleanUp)
	i.writeConfig(i.defaultConfig())
	return i
}

// cleanUp ends what a test has left running, and shows the log of a failed one.
func (i *instance) cleanUp() {
	i.run("stop", "--timeout", "5s")
	for _, pid := range i.daemons() { // that a failed test has lost sight of
		i.t.Errorf("daemon %d is left, and killed", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if i.t.Failed() {
		i.t.Logf("log of the service:\n%s", i.log())
	}
	if err := os.RemoveAll(i.dir); err != nil {
		i.t.Error(err)
	}
}

// defaultConfig is the configuration of the project, on free ports.
func (i *instance) defaultConfig() string {
	i.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", name+".toml"))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(wiretest.Configuration(text))
}

func (i *instance) writeConfig(text string) {
	i.t.Helper()
	if err := os.WriteFile(i.config, []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// set changes the value of a key, which stands on a line of its own.
func (i *instance) set(key, value string) {
	i.t.Helper()
	text, err := os.ReadFile(i.config)
	if err != nil {
		i.t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^` + key + ` = .*$`)
	if !line.Match(text) {
		i.t.Fatalf("the configuration has no key %s", key)
	}
	i.writeConfig(string(line.ReplaceAllLiteral(text, []byte(key+" = "+value))))
}

// outcome is what a call did.
type outcome struct {
	code           int
	stdout, stderr string
}

// callLimit bounds a call; no test waits for it unless it fails.
const callLimit = 2 * time.Minute

// run calls the program and returns what it did.
func (i *instance) run(args ...string) outcome {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return i.finish(exec.CommandContext(ctx, i.program, args...))
}

// command is a call of the program in the same surroundings as run.
func (i *instance) command(args ...string) *exec.Cmd {
	cmd := exec.Command(i.program, args...)
	cmd.Env, cmd.Dir = i.env, i.dir
	return cmd
}

// runInShell has a shell run a line in which D is the program.
func (i *instance) runInShell(line string) outcome {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return i.finish(exec.CommandContext(ctx, "sh", "-c", `D="$0"; `+strings.ReplaceAll(line, "D ", `"$D" `), i.program))
}

// finish runs a command and returns what it did. Its output is at its end only
// when nobody holds the pipe any more (pitfall 16).
func (i *instance) finish(cmd *exec.Cmd) outcome {
	i.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, i.dir
	if cmd.Env == nil {
		cmd.Env = i.env
	}
	cmd.WaitDelay = callLimit / 4
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		i.t.Fatalf("%s: %v", cmd, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want calls the program and fails the test unless it exits with code and
// prints a match of the pattern, on stdout if the code is 0.
func (i *instance) want(code int, pattern string, args ...string) outcome {
	i.t.Helper()
	return i.check(i.run(args...), code, pattern, strings.Join(args, " "))
}

// check is want for a call that was made; what names it.
func (i *instance) check(o outcome, code int, pattern, what string) outcome {
	i.t.Helper()
	text := o.stdout
	if code != 0 {
		text += o.stderr
	}
	if o.code != code || !regexp.MustCompile(pattern).MatchString(text) {
		i.t.Fatalf("%s %s: exit %d, stdout %q, stderr %q; want exit %d and a match of %q",
			name, what, o.code, o.stdout, o.stderr, code, pattern)
	}
	return o
}

var pidText = regexp.MustCompile(`\(pid (\d+)`)

// pid is the pid in what a call has printed.
func (i *instance) pid(o outcome) int {
	i.t.Helper()
	match := pidText.FindStringSubmatch(o.stdout)
	if match == nil {
		i.t.Fatalf("no pid in %q", o.stdout)
	}
	pid, err := strconv.Atoi(match[1])
	if err != nil {
		i.t.Fatal(err)
	}
	return pid
}

// start starts the service and returns its pid.
func (i *instance) start() int {
	i.t.Helper()
	return i.pid(i.want(0, `: started \(pid \d+\)\n$`, "start"))
}

// stderr is a file for what a service in the foreground says, where log finds it.
// A pipe would be open for as long as a process that takes over.
func (i *instance) stderr() *os.File {
	i.t.Helper()
	path := filepath.Join(i.dir, "log", name+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		i.t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = file.Close() })
	return file
}

func (i *instance) pidfile() string { return filepath.Join(i.dir, "run", name+".pid") }

func (i *instance) log() string {
	text, err := os.ReadFile(filepath.Join(i.dir, "log", name+".log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// kill ends the daemon at once and waits until the kernel has taken back what
// it held: of a process with many threads that is a moment after its death.
func (i *instance) kill(pid int) {
	i.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		i.t.Fatal(err)
	}
	i.eventually("the killed daemon is gone", func() bool { return !alive(pid) && i.run("status").code != 0 })
}

// status asks the daemon how it does.
func (i *instance) status() daemon.Status {
	i.t.Helper()
	o := i.run("--json", "status")
	var r result
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil || r.Status == nil {
		return daemon.Status{}
	}
	return *r.Status
}

// foreground starts the service in the foreground and waits until it is ready.
// Who waits for it at the end is the caller.
func (i *instance) foreground() *exec.Cmd {
	i.t.Helper()
	cmd := i.command("foreground")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.eventually("ready in the foreground", func() bool {
		if isZombie(cmd.Process.Pid) {
			i.t.Fatalf("foreground: %v\n%s", cmd.Wait(), stderr.String())
		}
		return i.run("status", "--ready").code == 0
	})
	return cmd
}

// isZombie reports whether a process has ended, and its parent has not waited. One
// that goes over into another program looks like that for a moment, except that it
// still has the thread which does so.
func isZombie(pid int) bool {
	for range 2 { // the second look is after the threads were counted
		if stat := statOf(pid); stat == nil || stat[0] != "Z" {
			return false
		}
		if tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); len(tasks) > 1 {
			return false
		}
	}
	return true
}

// wantDown fails the test unless nothing runs, and nothing has crashed.
func (i *instance) wantDown() {
	i.t.Helper()
	i.want(3, `: not running\n$`, "status")
	if info, err := os.Stat(i.pidfile()); err == nil && info.Size() != 0 {
		i.t.Errorf("the pidfile has %d bytes, want none", info.Size())
	}
	if daemons := i.daemons(); len(daemons) != 0 {
		i.t.Errorf("there are daemons: %v", daemons)
	}
}

// daemons are the pids of all daemons of this instance, as the system knows
// them: processes of its program in a session of their own which they don't
// lead. Those on their way out do not count.
func (i *instance) daemons() []int {
	i.t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		i.t.Fatal(err)
	}
	var pids []int
	for _, entry := range entries {
		line, err := os.ReadFile(entry)
		if err != nil || !strings.HasPrefix(string(line), i.program+"\x00") {
			continue
		}
		dir := filepath.Dir(entry)
		if !holdsFileIn(dir, filepath.Dir(i.pidfile())) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir)) // digits
		fields := statOf(pid)
		if len(fields) > 3 && fields[3] != strconv.Itoa(pid) && fields[3] != statOf(os.Getpid())[3] {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holdsFileIn reports whether the process of a folder in /proc has a file of the
// folder open. In a container not even root may see that of another user: then
// it may have.
func holdsFileIn(process, folder string) bool {
	fds, err := os.ReadDir(filepath.Join(process, "fd"))
	if os.IsPermission(err) {
		return true
	}
	return slices.ContainsFunc(fds, func(fd os.DirEntry) bool {
		target, _ := os.Readlink(filepath.Join(process, "fd", fd.Name()))
		return strings.HasPrefix(target, folder+"/")
	})
}

// statOf returns what /proc/PID/stat says from the state on (proc(5)): state,
// parent, group, session, terminal; nil without such a process.
func statOf(pid int) []string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name before it may have any characters.
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
}

// writeProgram writes a file that is to be executed. No other test may start a
// process meanwhile: it would have the file open for a moment, and a program that
// somebody can write to is not executed (ETXTBSY; golang/go#22315).
func writeProgram(path string, text []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, text, 0o755)
}

// stranger starts a process that is no business of the service, and that ends
// with the test.
func stranger(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// alive reports whether pid is a process that runs; a zombie does not, and who
// reaps it may take his time.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return true // no /proc here to tell more
	}
	stat := statOf(pid)
	return stat != nil && stat[0] != "Z" && stat[0] != "X"
}

// eventually polls until the condition holds, and fails the test if it does not
// for a time that no working service needs. Many a condition calls the program,
// so it looks less often with time, for the sake of the other tests.
func (i *instance) eventually(what string, condition func() bool) {
	i.t.Helper()
	pause := 2 * time.Millisecond
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if condition() {
			return
		}
		time.Sleep(pause)
		pause = min(2*pause, 20*time.Millisecond)
	}
	i.t.Fatalf("not so after a minute: %s", what)
}
