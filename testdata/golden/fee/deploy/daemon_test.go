package deploy_test

// The watchdog beside the real daemon.

import (
	"flag"
	"fmt"
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

	"example.com/fee/internal/leftout"
	"example.com/fee/internal/wire/wiretest"
)

// built is the folder of the real program.
var built string

func TestMain(m *testing.M) {
	os.Exit(runAndRemove(m))
}

func runAndRemove(m *testing.M) int {
	var err error
	if built, err = os.MkdirTemp("", name+"-deploy-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(built) }()
	if err := os.Chmod(built, 0o755); err != nil { // for the user that the daemon becomes
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// They wait more than they compute. A flag of the caller's has precedence.
	if err := flag.Set("test.parallel", "16"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return leftout.Main(m)
}

// build builds the program, for the first test that needs it, without what only
// a debugger reads.
var build = sync.OnceValues(func() (string, error) {
	program := filepath.Join(built, name)
	project, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	flags, err := wiretest.Overlay(built, project, nil)
	if err != nil {
		return "", err
	}
	args := slices.Concat([]string{"build", "-ldflags=-w", "-o", program}, flags, []string{"../cmd/" + name})
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, err
})

// real puts the real daemon behind the program that the watchdog calls, with the
// configuration of the project, except that it keeps everything in the directory
// of the test and listens on free ports. It is stopped with the test.
func (w *watched) real() {
	w.t.Helper()
	program, err := build()
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "configs", name+".toml"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name+".toml", string(wiretest.Configuration(text)), 0o644)
	w.script(name, `
for arg; do
	case $arg in start | restart | status | stop) echo "$arg" >>"$dir/calls" ;; esac
done
exec `+program+` "$@"
`)
	w.env = append(w.env,
		"FEE_CONFIG="+w.path(name+".toml"),
		"FEE_DAEMON_RUN_DIR="+w.path("run"),
		"FEE_DAEMON_STATE_DIR="+w.path("state"),
		"LOGS_DIRECTORY="+w.path("log"),
	)
	w.t.Cleanup(func() { w.call("stop", "--timeout", "5s") })
}

// call calls the program as a person would, and returns its exit code and what
// it has printed.
func (w *watched) call(args ...string) (code int, output string) {
	w.t.Helper()
	cmd := exec.Command(w.binary(), args...)
	cmd.Env = w.env
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

var readyText = regexp.MustCompile(`: ready \(pid (\d+)\)`)

// awaitReady waits until a daemon is ready that is another than the one before,
// and returns its pid.
func (w *watched) awaitReady(before int) (pid int) {
	w.t.Helper()
	w.eventually("the daemon is ready", func() bool {
		_, output := w.call("status", "--ready")
		match := readyText.FindStringSubmatch(output)
		if match == nil {
			return false
		}
		pid, _ = strconv.Atoi(match[1])
		return pid != before
	})
	return pid
}

func (w *watched) signalDaemon(pid int, signal syscall.Signal) {
	w.t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		w.t.Fatal(err)
	}
}

// Pitfall 71: what a dead daemon, or a dead watchdog, has left is no sign of
// life: not its pidfile with the pid of somebody who lives, nor its socket.
func TestStartsWhatIsDown(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.real()
		w.mkdir("run")
		pid := strconv.Itoa(os.Getpid()) + "\n"
		for _, suffix := range []string{".pid", ".watchdog", ".gaveup"} {
			w.write("run/"+name+suffix, pid, 0o644)
		}
		d := w.watch()
		first := w.awaitReady(0)
		w.signalDaemon(first, syscall.SIGKILL) // leaves its pidfile and its socket
		second := w.awaitReady(first)

		d.signal(syscall.SIGTERM)
		d.wantEnd(0, "ended by SIGTERM")
		d.wantNothingLeft()
		if code, output := w.call("status", "--ready"); code != 0 || !strings.Contains(output, strconv.Itoa(second)) {
			w.t.Errorf("without its watchdog the daemon is %d, %q", code, output)
		}
	})
}

// Pitfall 69: a watchdog that revives what a person has stopped.
func TestStoppedStaysDown(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.real()
		d := w.watch()
		first := w.awaitReady(0)
		starts, restarts := w.calls("start"), w.calls("restart")
		if code, output := w.call("stop"); code != 0 {
			w.t.Fatalf("stop: %d, %s", code, output)
		}
		w.awaitLooks(4)
		if code, output := w.call("status"); code != 3 {
			w.t.Errorf("after a stop the status is %d, %s", code, output)
		}
		w.wantCalls(starts, restarts)
		if text := "stopped on purpose"; strings.Count(w.read(d.log), text) != 1 {
			w.t.Errorf("%q is not there once:\n%s", text, w.read(d.log))
		}

		// A start puts it under watch again.
		if code, output := w.call("start"); code != 0 {
			w.t.Fatalf("start: %d, %s", code, output)
		}
		second := w.awaitReady(first)
		w.signalDaemon(second, syscall.SIGKILL)
		w.awaitReady(second)
	})
}

// Pitfall 68: a daemon that does not answer any more is restarted.
func TestRestartsWhatHangs(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.real()
		w.watch()
		first := w.awaitReady(0)
		w.signalDaemon(first, syscall.SIGSTOP)
		// Until then a status takes its time.
		w.eventually("it is restarted", func() bool { return w.calls("restart") > 0 })
		w.awaitReady(first)
	})
}
