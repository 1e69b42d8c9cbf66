//go:build unix

package main

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownsDaemon is a test of a project that leaves a process running which has left
// it, as one that tests a daemon does, and waits until it is interrupted.
const ownsDaemon = `package feed

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("DAEMON") != "" {
		time.Sleep(10 * time.Minute)
	}
	os.Exit(m.Run())
}

func TestDaemon(t *testing.T) {
	daemon := exec.Command(os.Args[0])
	daemon.Env = append(os.Environ(), "DAEMON=1")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("started", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
}
`

// Whenever verify is interrupted, nothing goes on running, and its folder is
// gone.
func TestVerifyInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		args   []string
		when   func(*verifying, *testing.T)
	}{
		"before it builds":   {syscall.SIGTERM, nil, (*verifying).working},
		"in a test":          {syscall.SIGINT, nil, (*verifying).tested},
		"while it starts":    {syscall.SIGINT, []string{"--skip-tests"}, says("$ go vet ./...: exit 0")},
		"while it runs":      {syscall.SIGTERM, []string{"--skip-tests"}, says("$ feed start: exit 0")},
		"in the foreground":  {syscall.SIGINT, []string{"--skip-tests"}, says("$ feed foreground: pid ")},
		"with another's pid": {syscall.SIGTERM, []string{"--skip-tests"}, says("$ feed reload: exit 7")},
	} {
		t.Run(name, func(t *testing.T) { interruptVerify(t, c.signal, c.args, c.when) })
	}
}

// says waits until verify has told of a command.
func says(line string) func(*verifying, *testing.T) {
	return func(v *verifying, t *testing.T) {
		t.Helper()
		for v.stderr.Scan() {
			if strings.Contains(v.stderr.Text(), line) {
				return
			}
		}
		t.Fatalf("verify has ended without %q", line)
	}
}

// verifying is a call of verify.
type verifying struct {
	project, tmp string
	stderr       *bufio.Scanner
}

// working waits until it has made its folder.
func (v *verifying) working(t *testing.T) { v.await(t, filepath.Join(v.tmp, "*")) }

// tested waits until the project's own test is under way.
func (v *verifying) tested(t *testing.T) { v.await(t, filepath.Join(v.project, "started")) }

func (v *verifying) await(t *testing.T, pattern string) {
	t.Helper()
	for range 60 * 100 {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("there is no %s after a minute", pattern)
}

func interruptVerify(t *testing.T, signal syscall.Signal, args []string, when func(*verifying, *testing.T)) {
	dir := passable(t)
	v := &verifying{project: filepath.Join(dir, "feed"), tmp: filepath.Join(dir, "tmp")}
	if err := os.Mkdir(v.tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("daemongen", "new", "feed", "-C", dir, "--database", "none").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(v.project, "feed_test.go"), []byte(ownsDaemon), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("daemongen", append([]string{"verify", "-v", "-C", v.project}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+v.tmp, "GOFLAGS=-trimpath")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	v.stderr = bufio.NewScanner(stderr)
	when(v, t)
	// To its process group, as a terminal does it.
	if err := syscall.Kill(-cmd.Process.Pid, signal); err != nil {
		t.Fatal(err)
	}
	rest, last := []string{}, ""
	for v.stderr.Scan() {
		last = v.stderr.Text()
		rest = append(rest, last)
	}
	_, _ = io.Copy(io.Discard, stderr)
	var failed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &failed) || failed.ExitCode() != 128+int(signal) {
		t.Errorf("%v, want exit code %d", err, 128+int(signal))
	}
	if want := "daemongen: interrupted"; last != want {
		t.Errorf("the last line is %q, want %q; since the signal:\n%s", last, want, strings.Join(rest, "\n"))
	}
	if left, err := filepath.Glob(filepath.Join(v.tmp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if left := programsBelow(t, v.tmp); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

// passable returns a new folder that any user may pass through.
func passable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "daemongen-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// programsBelow are the programs in a folder that run, where /proc tells.
func programsBelow(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		if program, err := os.Readlink(link); err == nil && strings.HasPrefix(program, dir+"/") {
			found = append(found, link+" is "+program)
		}
	}
	return found
}
