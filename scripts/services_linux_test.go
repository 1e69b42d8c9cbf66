package scripts_test

// What a folder of servers does: they come up, crash, stop and go.

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	up := p.must("up", "fake", "other")
	for _, variable := range []string{"TEST_FAKE", "TEST_OTHER"} {
		if address := exported(up, variable); !listens(address) {
			t.Errorf("nothing listens on %s=%q", variable, address)
		}
	}
	if env := p.must("env"); !strings.HasPrefix(up, env) {
		t.Errorf("up prints\n%s\nand env\n%s", up, env)
	}
	pid := p.pid("fake")
	if pid == 0 || !strings.Contains(p.must("status"), fmt.Sprintf("fake pid=%d port=", pid)) {
		t.Errorf("status prints\n%s", p.must("status"))
	}
	if again := p.must("up", "fake"); again != up || p.pid("fake") != pid {
		t.Errorf("a second up prints\n%s\nafter\n%s", again, up)
	}
}

// The export lines are those of a shell, whatever is in a value.
func TestExportsAreQuoted(t *testing.T) {
	t.Parallel()
	services := t.TempDir()
	value := `it's $HOME & \ "all" (this)`
	text := "variable=TEST_ODD\nmissing() { :; }\nprepare() { export_line TEST_ODD \"$ODD\"; }\n"
	writeService(t, services, "odd", text)
	p := newPlaceOf(t, services, "ODD="+value)
	out, err := exec.Command("sh", "-c", p.must("up")+`printf %s "$TEST_ODD"`).CombinedOutput()
	if err != nil || string(out) != value {
		t.Errorf("%v, %s, want %s", err, out, value)
	}
	if status := p.must("status"); status != "odd ready\n" {
		t.Errorf("status of a service without a server: %s", status)
	}
}

func writeService(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(folder, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name, "service.sh"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A test that injects faults calls the program of TEST_SERVICES, from its own
// folder and with any environment.
func TestCrashKeepsPortAndData(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	up := p.must("up", "fake")
	pid := p.pid("fake")
	control := func(args ...string) string {
		cmd := exec.Command(exported(up, "TEST_SERVICES"), args...)
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "SERVICES_DIR=/nowhere", "FAKE_PROGRAM="+program(t))
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	control("kill", "fake")
	if listens(exported(up, "TEST_FAKE")) || p.pid("fake") != 0 || strings.Contains(p.must("env"), "TEST_FAKE") {
		t.Error("it runs after a kill")
	}
	if again := control("up", "fake"); again != up || p.pid("fake") == pid {
		t.Errorf("after the crash up prints\n%s\nbefore\n%s", again, up)
	}
	if data := p.read("fake/data"); data != "prepared\nstarted\nstarted\n" {
		t.Errorf("the data are %q", data)
	}
}

func TestStopIsOrderly(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	up := p.must("up", "fake", "other")
	p.must("stop", "fake")
	if p.pid("fake") != 0 || p.pid("other") == 0 {
		t.Errorf("after the stop of one: %s", p.must("status"))
	}
	if data := p.read("fake/data"); data != "prepared\nstarted\nended by terminated\n" {
		t.Errorf("the data are %q", data)
	}
	if again := p.must("up", "fake"); again != up {
		t.Errorf("after the stop up prints\n%s\nbefore\n%s", again, up)
	}
}

// What a server has started may outlive it, and write to the data: nothing begins
// anew or is removed before it has ended.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "FAKE_SERVER=litter")
	for _, verb := range []string{"stop", "kill"} {
		p.must("up", "fake")
		p.eventually("the child writes", func() bool { return p.read("fake/data") != "" && len(p.workers()) == 2 })
		p.must(verb, "fake")
		if left := p.workers(); len(left) > 0 {
			t.Errorf("after %s there are %v", verb, left)
		}
	}
	p.must("up", "fake", "other")
	p.must("down", "fake")
	if p.pid("other") == 0 || p.read("fake/data") != "" {
		t.Error("down of one took the other, or left the one")
	}
	p.must("down")
	if _, err := os.Stat(p.dir); err == nil || len(p.workers()) > 0 {
		t.Errorf("after down: %v, %v", err, p.workers())
	}
	p.must("down") // of nothing
}

func TestTwoFolders(t *testing.T) {
	t.Parallel()
	one, two := newPlace(t), newPlace(t)
	first, second := one.must("up", "fake"), two.must("up", "fake")
	if exported(first, "TEST_FAKE") == exported(second, "TEST_FAKE") {
		t.Error("both have the same port")
	}
	one.must("down")
	if !listens(exported(second, "TEST_FAKE")) || two.pid("fake") == 0 {
		t.Error("down of one folder ended the server of another")
	}
}

// Pitfall 12: a zombie has a pid and takes signals; a server it is not. Who has to reap it may
// never do so, as the first process of a container.
func TestZombieIsGone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must("up", "fake")
	p.must("stop", "fake")
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	record(t, p, cmd.Process.Pid, starttime(t, cmd.Process.Pid))
	if p.pid("fake") != cmd.Process.Pid {
		t.Errorf("the server is %d, recorded is %d", p.pid("fake"), cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed
	p.eventually("it is a zombie", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		return err == nil && bytes.Contains(stat, []byte(") Z "))
	})
	if p.pid("fake") != 0 {
		t.Error("a zombie is said to run")
	}
	p.must("up", "fake")
}

// Pitfall 4: a pid on record may have become that of a stranger.
func TestStrangerIsNotSignalled(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must("up", "fake")
	p.must("stop", "fake")
	stranger := exec.Command("sleep", "600")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stranger.Wait() }()
	t.Cleanup(func() { _ = stranger.Process.Kill() })
	for _, verb := range []string{"stop", "kill", "down"} {
		p.must("up", "other")
		record(t, p, stranger.Process.Pid, starttime(t, stranger.Process.Pid)+"1")
		p.must(verb, "fake")
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger has ended: %v", err)
	}
	select {
	case err := <-ended:
		t.Errorf("the stranger has ended: %v", err)
	default:
	}
}

func record(t *testing.T, p *place, pid int, start string) {
	t.Helper()
	if err := os.WriteFile(p.path("fake.pid"), fmt.Appendf(nil, "%d %s\n", pid, start), 0o600); err != nil {
		t.Fatal(err)
	}
}

func starttime(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.Fields(rest)[19]
}

// An up that is interrupted takes back what it has begun, by itself if it can, and
// lets down do it otherwise. What ran before stays.
func TestInterruptedUp(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		for _, group := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, group %v", sig, group), func(t *testing.T) {
				t.Parallel()
				testInterruptedUp(t, sig, group)
			})
		}
	}
}

func testInterruptedUp(t *testing.T, sig syscall.Signal, group bool) {
	p := newPlace(t)
	before := p.must("up", "other")
	cmd, out, errs := p.with("FAKE_SERVER=deaf").command("up", "fake", "other")
	// Not what a server might hold.
	cmd.Stdout, cmd.Stderr = nil, nil
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.eventually("the server runs", func() bool { return strings.Contains(p.read("fake/data"), "started") })
	target := cmd.Process.Pid
	if group {
		target = -target
	}
	if err := syscall.Kill(target, sig); err != nil {
		t.Fatal(err)
	}
	_, _, code := p.ended(cmd, cmd.Wait(), out, errs)
	if sig != syscall.SIGKILL {
		if code != 130 || p.pid("fake") != 0 || p.read("fake/data") != "" {
			t.Errorf("exit code %d, %s, data %q", code, p.must("status"), p.read("fake/data"))
		}
	}
	if after := p.must("env"); sig != syscall.SIGKILL && !strings.HasPrefix(before, after) {
		t.Errorf("what ran before is not as it was:\n%s\nbefore:\n%s", after, before)
	}
	p.must("down")
	if _, err := os.Stat(p.dir); err == nil || len(p.workers()) > 0 {
		t.Errorf("after down: %v, %v", err, p.workers())
	}
}

// One at a time has the folder: of many that start a server at once, one does.
func TestLock(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	printed := make([]string, 4)
	var calls sync.WaitGroup
	for i := range printed {
		calls.Go(func() { printed[i], _, _ = p.call("up", "fake") })
	}
	calls.Wait()
	for _, out := range printed {
		if out == "" || out != printed[0] {
			t.Errorf("one prints\n%s\nand another\n%s", out, printed[0])
		}
	}
	if data := p.read("fake/data"); data != "prepared\nstarted\n" {
		t.Errorf("the data are %q", data)
	}
}

// Pitfall 17: a server that kept a descriptor of its caller would have it wait for
// ever, or hold its files.
func TestServerHoldsNothingOfCaller(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd, _, stderr := p.command("up", "fake")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = write, write, []*os.File{write, write}
	if err := cmd.Run(); err != nil {
		t.Fatal(err, stderr)
	}
	_ = write.Close()
	if err := read.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(read); err != nil {
		t.Errorf("somebody still has the pipe: %v", err)
	}
	if p.pid("fake") == 0 {
		t.Error("the server does not run")
	}
}

// A port may be lost between the look and the bind; then there is another.
func TestLostPort(t *testing.T) {
	t.Parallel()
	p := newPlace(t, "FAKE_SERVER=fail")
	stdout, stderr, code := p.call("up", "fake")
	if code != 0 || strings.Count(stderr, "try ") != 2 || !listens(exported(stdout, "TEST_FAKE")) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// A folder that has something else in it is not taken, and not removed.
func TestFolderOfOthers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must("up", "fake") // for what is removed at the end
	other := p.with("SERVICES_DIR=" + t.TempDir())
	other.dir = strings.TrimPrefix(other.env[len(other.env)-1], "SERVICES_DIR=")
	if err := os.WriteFile(other.path("mine"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := other.call("up", "fake"); code != 1 || !strings.Contains(stderr, "not ours") {
		t.Errorf("up: exit code %d, %s", code, stderr)
	}
	other.must("down")
	if other.read("mine") != "mine" {
		t.Error("down removed a file that is not ours")
	}
}

// Root's servers run as a user of their own, who has to be let in.
func TestUserOfServer(t *testing.T) {
	t.Parallel()
	needsRoot(t)
	p := newPlace(t, "FAKE_USER=nobody")
	reachable := filepath.Join(filepath.Dir(p.dir), "program")
	if out, err := exec.Command("install", "-m", "755", program(t), reachable).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.env = append(p.env, "FAKE_PROGRAM="+reachable)
	p.must("up", "fake")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid("fake")))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"\nUid:\t65534\t65534\t65534\t65534\n", "\nGid:\t65534\t65534\t65534\t65534\n", "\nGroups:\t \n"} {
		if !strings.Contains(string(status), id) {
			t.Errorf("no %q in\n%s", id, status)
		}
	}
	if err := os.Chmod(filepath.Dir(p.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := p.call("up", "other"); code != 1 || !strings.Contains(stderr, "nobody cannot reach") {
		t.Errorf("below a closed folder: exit code %d, %s", code, stderr)
	}
}

// Passwords are nobody's but the user's.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.must("up", "fake")
	for _, name := range []string{"fake.env", "fake.log", "fake.pid", "control"} {
		info, err := os.Stat(p.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, args := range [][]string{{}, {"fly"}, {"up", "nosuch"}, {"run"}, {"run", "fake", "--"}} {
		if stdout, stderr, code := p.call(args...); code != 2 || stdout != "" || !strings.Contains(stderr, "services.sh up [NAME...]") {
			t.Errorf("%v: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
}
