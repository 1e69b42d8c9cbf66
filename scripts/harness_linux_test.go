// Package scripts_test tests services.sh of the projects: with a server of its own,
// this very program, and with the real ones.
package scripts_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv("FAKE_SERVER"); mode != "" && os.Getenv("FAKE_PORT") != "" {
		if err := serve(mode); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve is the server of the service fake. It works in its folder, and writes down
// in the file data when it starts, and the signal that ends it.
//
//	listen  takes connections until the signal
//	deaf    runs, and takes none
//	fail    ends at once where it finds no other's trace, as one whose port is lost
//	litter  as listen, with a child that outlives it, and writes files to the end
func serve(mode string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	switch mode {
	case "linger":
		return linger()
	case "litter":
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "FAKE_SERVER=linger")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
	case "fail":
		if tries, err := os.ReadFile("../tries"); err != nil || len(tries) < 2 {
			return errors.Join(errors.New("the port is lost"), appendTo("../tries", "x"))
		}
	}
	if mode != "deaf" {
		listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("FAKE_PORT"))
		if err != nil {
			return err
		}
		defer func() { _ = listener.Close() }()
	}
	if err := appendTo("data", "started\n"); err != nil {
		return err
	}
	return appendTo("data", "ended by "+(<-ended).String()+"\n")
}

// linger writes files until the parent is gone, and then some more.
func linger() error {
	parent := os.Getppid()
	for more := 0; more < 200; {
		if os.Getppid() != parent {
			more++
		}
		if err := os.MkdirAll("litter/"+strconv.Itoa(more), 0o755); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

func appendTo(name, text string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// core is the script under test.
const core = "../templates/exampled/scripts/services.sh"

// place is a folder for servers.
type place struct {
	t   *testing.T
	dir string // SERVICES_DIR
	env []string
}

// newPlace returns a folder that is not there yet, for the services of testdata. At
// the end of the test nothing may be left of it.
func newPlace(t *testing.T, env ...string) *place {
	t.Helper()
	services, err := filepath.Abs("testdata/services")
	if err != nil {
		t.Fatal(err)
	}
	return newPlaceOf(t, services, append([]string{"FAKE_PROGRAM=" + program(t)}, env...)...)
}

// program returns the path of this very program, which is the server of the fake.
func program(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func newPlaceOf(t *testing.T, services string, env ...string) *place {
	t.Helper()
	// Not t.TempDir, through which the users of the servers could not go.
	above, err := os.MkdirTemp("", "services-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(above, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: filepath.Join(above, "d")}
	p.env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "TEST_") || strings.HasPrefix(v, "SERVICES_") || strings.HasPrefix(v, "CI=")
	})
	p.env = slices.Concat(p.env, []string{"SERVICES_DIR=" + p.dir, "SERVICES_PATH=" + services, "SERVICES_INSTALL=no"}, env)
	t.Cleanup(func() {
		p.must("down")
		p.awaitNothing()
		if err := os.RemoveAll(above); err != nil {
			t.Error(err)
		}
	})
	return p
}

// with returns the same place for commands with more in their environment.
func (p *place) with(env ...string) *place {
	return &place{p.t, p.dir, slices.Concat(p.env, env)}
}

// command is one of the script, in a process group of its own.
func (p *place) command(args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.Command(core, args...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, stdout, stderr
}

// call returns what a command prints, and its exit code.
func (p *place) call(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd, out, err := p.command(args...)
	return p.ended(cmd, cmd.Run(), out, err)
}

func (p *place) ended(cmd *exec.Cmd, err error, stdout, stderr *bytes.Buffer) (string, string, int) {
	p.t.Helper()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		p.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// must returns what a command prints that may not fail.
func (p *place) must(args ...string) string {
	p.t.Helper()
	stdout, stderr, code := p.call(args...)
	if code != 0 {
		p.t.Fatalf("%v: exit code %d\n%s", args, code, stderr)
	}
	return stdout
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) read(name string) string {
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		return ""
	}
	return string(text)
}

// pid returns that of a server as status has it, 0 if it is down.
func (p *place) pid(name string) int {
	p.t.Helper()
	for line := range strings.Lines(p.must("status")) {
		fields := strings.Fields(line)
		if fields[0] != name || fields[1] == "down" {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimPrefix(fields[1], "pid="))
		if err != nil {
			p.t.Fatalf("status: %s", line)
		}
		return pid
	}
	return 0
}

// exported returns the value of a variable in export lines, "" if it is not there.
func exported(lines, variable string) string {
	for line := range strings.Lines(lines) {
		if value, ok := strings.CutPrefix(line, "export "+variable+"='"); ok {
			return strings.TrimSuffix(value, "'\n")
		}
	}
	return ""
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// workers returns the processes that work in the folder, but for zombies.
func (p *place) workers() []string {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		p.t.Fatal(err)
	}
	return slices.DeleteFunc(links, func(link string) bool {
		cwd, err := os.Readlink(link)
		return err != nil || !strings.HasPrefix(cwd, p.dir) // also of runs, beside it
	})
}

// awaitNothing waits until no process and no file is left of the place, and of those
// beside it that a run makes.
func (p *place) awaitNothing() {
	p.t.Helper()
	p.eventually("nothing is left", func() bool {
		left, err := filepath.Glob(p.dir + "*")
		if err != nil {
			p.t.Fatal(err)
		}
		return len(left) == 0 && len(p.workers()) == 0
	})
}

// limit is a time that no command needs, however busy the machine.
const limit = 2 * time.Minute

// eventually polls until the condition holds, and fails the test if it does not
// within the limit.
func (p *place) eventually(what string, condition func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if condition() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.t.Fatalf("not so after %s: %s; in %s are %v", limit, what, p.dir, p.workers())
}

// leaveOut ends a test for which something is missing, and says so. Where CI=true
// nobody reads it, so it is a failure.
func leaveOut(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI=true accepts no test left out: " + what)
	}
	t.Skip("LEFT OUT: " + what)
}

// needsRoot leaves out what only root can test.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		leaveOut(t, "what only root can test")
	}
}
