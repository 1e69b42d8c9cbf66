package main

// What the commands do to a service, from its start to its end.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/fee/internal/leftout"
)

func TestStartStatusReloadStop(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

// A second daemon in the foreground is refused, and one in the foreground is
// known to the other commands.
func TestForeground(t *testing.T) {
	t.Parallel()
	t.Run("as configured", func(t *testing.T) { testForeground(t, newInstance(t)) })
	if leftout.IsRoot() { // who stays root, so that the process is not executed anew
		t.Run("as root", func(t *testing.T) {
			i := newInstance(t)
			i.set("user", `"root"`)
			testForeground(t, i)
		})
	}
}

func testForeground(t *testing.T, i *instance) {
	cmd := i.command("foreground")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i.eventually("status says ready", func() bool { return i.run("status", "--ready").code == 0 })
	if pid := i.pid(i.want(0, ``, "status")); pid != cmd.Process.Pid {
		t.Errorf("status says pid %d, want %d, whom the supervisor knows", pid, cmd.Process.Pid)
	}
	i.want(1, `already running`, "foreground")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil || !regexp.MustCompile(ignoresNothing).Match(status) {
		t.Errorf("the service ignores signals: %v\n%s", err, status)
	}
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
