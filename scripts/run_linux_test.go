package scripts_test

// What run does: a command with its servers, which end with it.

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	stdout, stderr, code := p.call("run", "fake", "--", "sh", "-c", `echo "$TEST_FAKE"; "$TEST_SERVICES" status; exit 3`)
	if code != 3 || !strings.HasPrefix(stdout, "127.0.0.1:") || !strings.Contains(stdout, "\nfake pid=") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	p.awaitNothing()
}

// The command makes its files as its caller's would be, although those of the
// servers are private.
func TestRunKeepsTheUmask(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	want, err := exec.Command("sh", "-c", "umask").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := p.must("run", "fake", "--", "sh", "-c", "umask"); got != string(want) {
		t.Errorf("the umask is %s, want %s", got, want)
	}
}

// Servers that run are used and stay; what was started beside them goes. One that
// the environment names is not started.
func TestRunTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	want := exported(p.must("up", "fake"), "TEST_FAKE")
	pid := p.pid("fake")
	stdout := p.must("run", "fake", "other", "--", "sh", "-c", `echo "$TEST_FAKE $TEST_OTHER"`)
	if !strings.HasPrefix(stdout, want+" 127.0.0.1:") || p.pid("fake") != pid || p.pid("other") != 0 {
		t.Errorf("%s, want %s; then\n%s", stdout, want, p.must("status"))
	}
	p.must("down")
	if got := p.with("TEST_FAKE=mine").must("run", "fake", "--", "sh", "-c", `echo "$TEST_FAKE"`); got != "mine\n" {
		t.Errorf("TEST_FAKE=%s", got)
	}
}

// Two runs don't share, so that none ends the servers of the other.
func TestRunsDoNotShare(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first, second := newWaiting(p, "first"), newWaiting(p, "second")
	first.release()
	second.release()
	for _, w := range []*waiting{first, second} {
		if out := w.out.String(); !strings.Contains(out, "fake pid=") {
			t.Errorf("the %s run, at its end, has\n%s", w.name, out)
		}
	}
	p.awaitNothing()
}

// waiting is a run whose command waits until it is released, and then prints the
// status of its servers.
type waiting struct {
	p    *place
	name string
	cmd  *exec.Cmd
	out  *bytes.Buffer
}

func newWaiting(p *place, name string) *waiting {
	p.t.Helper()
	w := &waiting{p: p, name: name}
	script := `: >"$0.waits"; until [ -e "$0.go" ]; do sleep 0.02; done; "$TEST_SERVICES" status`
	w.cmd, w.out, _ = p.command("run", "fake", "--", "sh", "-c", script, w.file(""))
	if err := w.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.eventually("the command waits", func() bool { return exists(w.file(".waits")) })
	return w
}

func (w *waiting) file(suffix string) string {
	return filepath.Join(filepath.Dir(w.p.dir), w.name+suffix)
}

func (w *waiting) release() {
	w.p.t.Helper()
	if err := os.WriteFile(w.file(".go"), nil, 0o644); err != nil {
		w.p.t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil {
		w.p.t.Error(err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// The servers end with a run, however that ends, and a command that a signal for the
// run reaches ends with all that it has started.
func TestEndedRun(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL} {
		for _, group := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, group %v", sig, group), func(t *testing.T) {
				t.Parallel()
				testEndedRun(t, sig, group)
			})
		}
	}
}

func testEndedRun(t *testing.T, sig syscall.Signal, group bool) {
	p := newPlace(t)
	// The inner shell has the outer one wait, as go test waits for its tests.
	there := filepath.Join(filepath.Dir(p.dir), "there")
	script := `cd "$(dirname "$TEST_SERVICES")" && sh -c 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec sleep 600' "$0"; exit 7`
	cmd, _, _ := p.command("run", "fake", "--", "sh", "-c", script, there)
	cmd.Stdout, cmd.Stderr = nil, nil
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inner := ""
	p.eventually("the command runs", func() bool {
		text, err := os.ReadFile(there)
		inner = strings.TrimSpace(string(text))
		return err == nil
	})
	target := cmd.Process.Pid
	if group {
		target = -target
	}
	if err := syscall.Kill(target, sig); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // asked below
	if sig == syscall.SIGKILL {
		// Nobody was left to pass anything on to the command.
		killInner(t, inner)
	} else if code := cmd.ProcessState.ExitCode(); code != 128+int(sig) {
		t.Errorf("exit code %d", code)
	}
	p.awaitNothing()
}

// killInner ends the process group of a command that outlives its run.
func killInner(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	group, err := syscall.Getpgid(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Packages are asked for one by one, also where a service names two on a line.
func TestInstallsEach(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	p := newPlace(t)
	programs := t.TempDir()
	const fake = "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 1\n"
	if err := os.WriteFile(filepath.Join(programs, "apt-get"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := p.with("SERVICES_INSTALL=yes", "PATH="+programs+":"+os.Getenv("PATH")).call("install", "lacking")
	if code != 5 || !strings.Contains(stderr, "<install><-y><--no-install-recommends><no-such-package><nor-this>") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// What can't be had is said, and again at the end of a run; where CI=true nobody
// reads it, so it is an error, and the command does not even run.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const line = "LEFT OUT: what needs lacking (TEST_LACKING): no no-such-package nor-this"
	stdout, stderr, code := p.call("up", "fake", "lacking")
	if code != 5 || exported(stdout, "TEST_FAKE") == "" || strings.Count(stderr, line) != 1 {
		t.Errorf("up: exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, _, code := p.call("install", "lacking"); code != 5 {
		t.Errorf("install: exit code %d", code)
	}
	_, stderr, code = p.call("run", "fake", "lacking", "--", "sh", "-c", "echo between >&2")
	if _, end, found := strings.Cut(stderr, "between\n"); code != 0 || !found || strings.Count(end, line) != 1 {
		t.Errorf("run: exit code %d\n%s", code, stderr)
	}
	p.must("down")
	_, stderr, code = p.with("CI=true").call("run", "fake", "lacking", "--", "sh", "-c", "echo between >&2")
	if code != 1 || strings.Contains(stderr, "between") || !strings.Contains(stderr, line) {
		t.Errorf("run where CI=true: exit code %d\n%s", code, stderr)
	}
	p.awaitNothing()
}

// A command is not run with less than the servers that could be had.
func TestRunWithoutServer(t *testing.T) {
	t.Parallel()
	services := t.TempDir()
	writeService(t, services, "broken", "variable=TEST_BROKEN\nmissing() { :; }\nprepare() { return 1; }\nstart() { :; }\n")
	p := newPlaceOf(t, services)
	if stdout, stderr, code := p.call("run", "echo", "ran"); code != 1 || stdout != "" || !strings.Contains(stderr, "could not start: broken") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	p.awaitNothing()
}

// A project whose features need no server runs its tests by the script all the same.
func TestNoServices(t *testing.T) {
	t.Parallel()
	p := newPlaceOf(t, filepath.Join(t.TempDir(), "services"))
	if stdout := p.must("run", "echo", "ran"); stdout != "ran\n" {
		t.Errorf("run: %s", stdout)
	}
	if stdout, stderr, code := p.call("up"); code != 0 || stdout != "" || !strings.Contains(stderr, "no service is needed") {
		t.Errorf("up: exit code %d\n%s%s", code, stdout, stderr)
	}
	p.must("down")
}
