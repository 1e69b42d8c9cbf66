package main

// What the tests of the compiled program share: they call it as a person would
// and look from outside.

import (
	"bytes"
	"context"
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
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", name+"-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, name)
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, ".")...)
	if out, err := build.CombinedOutput(); err != nil {
		printf(os.Stderr, "go %s: %v\n%s", strings.Join(args, " "), err, out)
		return 1
	}
	return m.Run()
}

// instance is one service with its own directories, stopped when the test ends.
type instance struct {
	t      *testing.T
	dir    string
	config string
	env    []string
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
	i := &instance{t: t, dir: dir, config: filepath.Join(dir, name+".toml")}
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
	if i.t.Failed() {
		i.t.Logf("log of the service:\n%s", i.log())
	}
	if err := os.RemoveAll(i.dir); err != nil {
		i.t.Error(err)
	}
}

var listenKey = regexp.MustCompile(`(?m)^(listen = ".*):\d+"`)

// defaultConfig is the configuration of the project, on free ports.
func (i *instance) defaultConfig() string {
	i.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "configs", name+".toml"))
	if err != nil {
		i.t.Fatal(err)
	}
	return listenKey.ReplaceAllString(string(text), `$1:0"`)
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
const callLimit = time.Minute

// run calls the program and returns what it did.
func (i *instance) run(args ...string) outcome {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = &stdout, &stderr, i.env, i.dir
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		i.t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// want calls the program and fails the test unless it exits with code and
// prints a match of the pattern, on stdout if the code is 0.
func (i *instance) want(code int, pattern string, args ...string) outcome {
	i.t.Helper()
	o := i.run(args...)
	text := o.stdout
	if code != 0 {
		text += o.stderr
	}
	if o.code != code || !regexp.MustCompile(pattern).MatchString(text) {
		i.t.Fatalf("%s %s: exit %d, stdout %q, stderr %q; want exit %d and a match of %q",
			name, strings.Join(args, " "), o.code, o.stdout, o.stderr, code, pattern)
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

// alive reports whether pid is a process that runs; a zombie does not, and who
// reaps it may take his time.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// eventually polls until the condition holds, and fails the test if it does not
// for a time that no working service needs.
func (i *instance) eventually(what string, condition func() bool) {
	i.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if condition() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	i.t.Fatalf("not so after 20 s: %s", what)
}
