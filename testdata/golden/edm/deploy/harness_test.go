// Package deploy_test tests the files here as they are used: the watchdog in the
// shells that it may meet, beside the real daemon and beside one that does as a
// test wants, and the others by the programs that read them.
package deploy_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/edm/internal/leftout"
)

const name = "edm"

// inEachShell runs a test of the watchdog in each shell that it is made for.
func inEachShell(t *testing.T, test func(*watched)) {
	for _, shell := range [][]string{{"dash"}, {"busybox", "sh"}} {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			leftout.Program(t, shell[0])
			test(newWatched(t, shell))
		})
	}
}

// watched is a daemon, real or not, in directories of its own, for watchdogs.
type watched struct {
	t     *testing.T
	shell []string
	dir   string
	env   []string
}

func newWatched(t *testing.T, shell []string) *watched {
	t.Helper()
	// Not t.TempDir, which the user that the daemon becomes could not enter.
	dir, err := os.MkdirTemp("", name+"-deploy-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	w := &watched{t: t, shell: shell, dir: dir, env: os.Environ()}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w.mkdir("bin")
	w.env = append(w.env, "PATH="+w.path("bin")+":"+os.Getenv("PATH"))
	return w
}

// path is that of something in the directory of the test.
func (w *watched) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

func (w *watched) binary() string { return w.path(name) }

func (w *watched) runFile(suffix string) string { return w.path("run", name+suffix) }

func (w *watched) mkdir(path string) {
	w.t.Helper()
	if err := os.MkdirAll(w.path(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) write(path, text string, mode os.FileMode) {
	w.t.Helper()
	if err := writeFile(w.path(path), text, mode); err != nil {
		w.t.Fatal(err)
	}
}

// writeFile writes a file, which may be executed then. No other test may start a
// process meanwhile: it would have the file open for a moment, and a program that
// somebody can write to is not executed (ETXTBSY; golang/go#22315).
func writeFile(path, text string, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, []byte(text), mode)
}

// read returns the text of a file; that of one that is missing is empty.
func (w *watched) read(path string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.path(path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(text)
}

// calls counts how often the program has been called with a command.
func (w *watched) calls(command string) int {
	w.t.Helper()
	n := 0
	for line := range strings.Lines(w.read("calls")) {
		if line == command+"\n" {
			n++
		}
	}
	return n
}

// awaitLooks waits until the watchdog has looked so many times more.
func (w *watched) awaitLooks(more int) {
	w.t.Helper()
	before := w.calls("status")
	w.eventually("the watchdog looks at the daemon", func() bool { return w.calls("status") >= before+more })
}

// wantCalls fails the test unless this is how often the daemon was started and
// restarted so far.
func (w *watched) wantCalls(starts, restarts int) {
	w.t.Helper()
	if w.calls("start") != starts || w.calls("restart") != restarts {
		w.t.Errorf("%d starts and %d restarts, want %d and %d; calls:\n%s",
			w.calls("start"), w.calls("restart"), starts, restarts, w.read("calls"))
	}
}

// limit is a time that no working watchdog needs, however busy the machine.
const limit = 4 * time.Minute

// eventually polls until the condition holds, and fails the test if it does not
// within the limit.
func (w *watched) eventually(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if condition() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("not so after %s: %s", limit, what)
}

// watchdog is a running one.
type watchdog struct {
	*watched
	cmd   *exec.Cmd
	log   string // file, in the directory of the test
	ended chan struct{}
}

// quick are flags for a test in real time. Those of a test have precedence.
var quick = []string{"--interval", "50ms", "--backoff", "10ms", "--backoff-max", "100ms"}

// watch starts a quick watchdog, to be ended with the test at the latest.
func (w *watched) watch(flags ...string) *watchdog {
	w.t.Helper()
	return w.watchWith(w.arguments(slices.Concat(quick, flags)...)...)
}

// watchSlowly starts a watchdog with the times that it has by default, for which
// see skipTime.
func (w *watched) watchSlowly(flags ...string) *watchdog {
	w.t.Helper()
	return w.watchWith(w.arguments(flags...)...)
}

// arguments are those of the shell for a watchdog of this daemon.
func (w *watched) arguments(flags ...string) []string {
	script := []string{name + "-watchdog.sh", "--binary", w.binary(), "--run-dir", w.path("run")}
	return slices.Concat(w.shell[1:], script, flags)
}

// watchWith starts a watchdog with just these arguments of the shell.
func (w *watched) watchWith(args ...string) *watchdog {
	w.t.Helper()
	log, err := os.CreateTemp(w.dir, "watchdog-*.log")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	d := &watchdog{watched: w, cmd: exec.Command(w.shell[0], args...), log: filepath.Base(log.Name()), ended: make(chan struct{})}
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = w.env, log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // the test asks for the code
		close(d.ended)
	}()
	w.t.Cleanup(func() {
		d.signal(syscall.SIGTERM)
		d.awaitEnd()
		d.killGroup()
		if w.t.Failed() {
			w.t.Logf("log of the watchdog:\n%s", w.read(d.log))
		}
	})
	return d
}

// signal signals the watchdog alone, and not what it has started.
func (d *watchdog) signal(signal syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Fatal(err)
	}
}

// awaitEnd returns the exit code.
func (d *watchdog) awaitEnd() int {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(limit):
		_ = d.cmd.Process.Kill()
		d.t.Fatalf("the watchdog did not end in %s", limit)
	}
	return d.cmd.ProcessState.ExitCode()
}

func (d *watchdog) hasEnded() bool {
	select {
	case <-d.ended:
		return true
	default:
		return false
	}
}

// wantEnd waits for the end, which must be with code and a text in the log.
func (d *watchdog) wantEnd(code int, text string) {
	d.t.Helper()
	if got := d.awaitEnd(); got != code || !strings.Contains(d.read(d.log), text) {
		d.t.Fatalf("the watchdog ended with %d, want %d and %q in\n%s", got, code, text, d.read(d.log))
	}
}

// wantNothingLeft fails the test if a process that the watchdog has started, and
// that is no daemon, is there any longer.
func (d *watchdog) wantNothingLeft() {
	d.t.Helper()
	d.eventually("nothing of the watchdog is left", func() bool { return len(d.group()) == 0 })
}

// killGroup ends what the watchdog has started and a test needs no longer. It
// returns when that is gone: until then it could write into the directory of the
// test, which is about to be removed.
func (d *watchdog) killGroup() {
	d.t.Helper()
	if len(d.group()) == 0 {
		return
	}
	if err := syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		d.t.Error(err)
	}
	d.wantNothingLeft()
}

// group is what runs in the process group of the watchdog.
func (d *watchdog) group() []string {
	d.t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		d.t.Fatal(err)
	}
	var found []string
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has just ended
		}
		// PID (NAME) STATE PARENT GROUP, see proc(5); a zombie has ended.
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		if len(fields) > 2 && fields[0] != "Z" && fields[2] == strconv.Itoa(d.cmd.Process.Pid) {
			found = append(found, string(text))
		}
	}
	return found
}

// fake puts a program in the place of the daemon's that does as a test wants. Of
// the file COMMAND it takes a line a call, and the last one from then on: the
// exit code, the state that it tells, how long it takes, in seconds, unless the
// test is over before, and what it lacks, if there is a fourth word. What is called is in the file calls, and what has come
// to its end in ends. The file hook is for the rest. It forks nothing unless it
// has to wait, so that it is quick.
func (w *watched) fake() {
	w.t.Helper()
	w.script(name, `
command=
for arg; do
	case $arg in start | restart | status | check) command=$arg ;; esac
done
echo "$command" >>"$dir/calls"
calls=0 lines=0
while read -r call; do
	[ "$call" != "$command" ] || calls=$((calls + 1))
done <"$dir/calls"
while [ $lines -lt $calls ] && read -r next; do
	line=$next lines=$((lines + 1))
done <"$dir/$command"
set -- $line
[ ! -e "$dir/hook" ] || . "$dir/hook"
seconds=0
while [ $seconds -lt "${3:-0}" ] && [ -d "$dir" ]; do
	/bin/sleep 1
	seconds=$((seconds + 1))
done
[ -d "$dir" ] || exit 1
printf '{"name":"%s","state":"%s","run_dir":"%s","status":{"ready":false%s}}\n' "`+name+`" "${2-}" "$dir/run" "${4:+,\"not_ready\":[\"$4\"]}"
echo "$command" >>"$dir/ends"
exit "$1"
`)
	for command, lines := range map[string]string{"start": "0", "restart": "0", "status": "0 ready", "check": "0"} {
		w.answer(command, lines)
	}
}

// answer sets what the fake does with a command, see there.
func (w *watched) answer(command string, lines ...string) {
	w.t.Helper()
	w.write(command, strings.Join(lines, "\n")+"\n", 0o644)
}

// times repeats a line of the fake.
func times(n int, line string) string {
	return strings.TrimSuffix(strings.Repeat(line+"\n", n), "\n")
}

// script writes a program of sh that finds the directory of the test in $dir.
func (w *watched) script(path, text string) {
	w.t.Helper()
	w.write(path, fmt.Sprintf("#!/bin/sh\ndir='%s'\n%s", w.dir, text), 0o755)
}

// skipTime has all sleeps of watchdogs end at once. What they were asked for is
// in the file sleeps. The date jumps by hours, forth and back, with each look at
// it.
func (w *watched) skipTime() {
	w.t.Helper()
	w.script("bin/sleep", `echo "$1" >>"$dir/sleeps"; exec /bin/sleep 0.005`)
	w.script("bin/date", `
echo >>"$dir/dates"
hours=$(($(wc -l <"$dir/dates") * 7 % 24))
exec /bin/date -u -d "2026-01-01T$hours:00:00Z" "$2"
`)
}
