package main

// What reload and HUP do.

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"example.com/fee/internal/leftout"
)

// Pitfalls 38, 39 and 42: whatever the file holds, HUP neither ends the service
// nor changes its pid, and the last good configuration counts in the end.
func TestHangups(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	pid := i.start()
	for n := range 200 {
		if n%2 == 0 {
			i.writeConfig("[worker]\ncount = \"many\"\n[")
		} else {
			i.writeConfig(i.defaultConfig())
			i.set("count", fmt.Sprint(1+n%7))
		}
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	i.set("count", "5")
	i.want(0, fmt.Sprintf(`\(pid %d, generation \d+\)`, pid), "reload")
	i.want(0, `, 5 workers, `, "status")
}

// Pitfall 39: HUP and USR1 do not end a service that is starting, though for
// root it is executed anew on the way.
func TestHangupWhileStarting(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	for range rounds(5, 50) {
		i.startAmidHangups()
		if err := os.RemoveAll(filepath.Dir(i.pidfile())); err != nil { // for the next one
			t.Fatal(err)
		}
	}
}

// startAmidHangups starts the service in the foreground, sends it HUP and USR1
// from the first thing that it makes, its run directory, until it is ready, and
// stops it.
func (i *instance) startAmidHangups() {
	i.t.Helper()
	cmd := i.command("foreground")
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	ready := make(chan struct{})
	var signals sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(ready)
		signals.Wait()
	})
	defer end()
	signals.Go(func() {
		for {
			select {
			case <-ready:
				return
			case <-time.After(100 * time.Microsecond):
			}
			if _, err := os.Stat(filepath.Dir(i.pidfile())); err == nil {
				_ = cmd.Process.Signal(syscall.SIGHUP)
				_ = cmd.Process.Signal(syscall.SIGUSR1)
			}
		}
	})
	i.eventually("ready", func() bool {
		if isZombie(cmd.Process.Pid) {
			i.t.Fatalf("foreground: %v", cmd.Wait())
		}
		return i.run("status", "--ready").code == 0
	})
	end()
	if pid := i.pid(i.want(0, `(ready|reloading) `, "status")); pid != cmd.Process.Pid {
		i.t.Errorf("pid %d, want %d", pid, cmd.Process.Pid)
	}
	i.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		i.t.Error(err)
	}
}

// Pitfalls 38 and 40: a reload that fails says why, and changes nothing, by the
// command and by the signal.
func TestReloadFails(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	pid := i.start()
	good := i.defaultConfig()
	nothing := `daemon\.user: is missing` // but only root is asked
	if os.Geteuid() != 0 {
		nothing = `transport: no section tells how to reach the service`
	}
	for text, pattern := range map[string]string{
		"":                                       nothing,
		" \n\n":                                  nothing,
		"# nothing\n":                            nothing,
		"\x00\x01\x02":                           `:1:\d+: `,
		"\xff\xfe":                               `:1:\d+: `,
		good + "\n[nosuch]\n":                    `:\d+:\d+: nosuch: `,
		good + "\n[worker2]\nx = 1\n":            `:\d+:\d+: worker2: `,
		good + "\n[worker]\n":                    `:\d+:\d+: worker: `,
		good + "\n= = =\n":                       `:\d+:\d+: `,
		good + "\n[":                             `:\d+:\d+: `,
		good + "\nkey = \"no end":                `:\d+:\d+: `,
		good + "\nnosuch = 1\n":                  `:\d+:\d+: .*nosuch: unknown key`,
		"count = 1\n" + good:                     `:1:1: count: unknown key outside of the sections`,
		withValue(good, "user", "["):             `:\d+:\d+: `,
		withValue(good, "level", `"loud"`):       `:\d+:1: log\.level: must be debug, info, warn or error, is "loud"`,
		withValue(good, "level", "3"):            `:\d+:1: log\.level: must be a string, is an integer`,
		withValue(good, "count", `"many"`):       `:\d+:1: worker\.count: must be an integer, is a string`,
		withValue(good, "count", "0"):            `:\d+:1: worker\.count: must be at least 1, is 0`,
		withValue(good, "count", "1e3"):          `:\d+:1: worker\.count: `,
		withValue(good, "count", "1\ncount = 2"): `:\d+:1: worker\.count: `,
		withValue(good, "timeout", "30"):         `:\d+:1: worker\.timeout: must be a string such as "30s", is an integer`,
		withValue(good, "timeout", `"-1s"`):      `:\d+:1: worker\.timeout: must not be negative`,
		withValue(good, "umask", `"9"`):          `:\d+:1: daemon\.umask: `,
		strings.Repeat("#", 256<<10+1):           `is larger than 256KiB`,
	} {
		i.writeConfig(text)
		i.wantRefused(pid, pattern)
	}

	for _, test := range []struct {
		pattern string
		put     func(path string) error
	}{
		{`: no such file or directory`, func(string) error { return nil }},
		{`: no such file or directory`, func(path string) error { return os.Symlink("nowhere", path) }},
		{`: too many levels of symbolic links`, func(path string) error { return os.Symlink(path, path) }},
		{`: is a directory`, func(path string) error { return os.Mkdir(path, 0o755) }},
		{`: is not a regular file`, func(path string) error { return syscall.Mkfifo(path, 0o666) }},
		{`: permission denied`, func(path string) error { return os.WriteFile(path, []byte(good), 0) }},
	} {
		if test.pattern == `: permission denied` && !leftout.IsOther() {
			continue
		}
		if err := os.RemoveAll(i.config); err != nil {
			t.Fatal(err)
		}
		if err := test.put(i.config); err != nil {
			t.Fatal(err)
		}
		i.wantRefused(pid, test.pattern)
	}
	if err := os.RemoveAll(i.config); err != nil {
		t.Fatal(err)
	}

	i.writeConfig(good)
	i.set("umask", `"0077"`)
	i.want(152, `needs a restart: daemon\.umask \(try `+name+` restart\)\n$`, "reload")
	i.writeConfig(good)
	i.want(0, `generation 2`, "reload")
}

// withValue is a configuration with another value of a key.
func withValue(config, key, value string) string {
	return regexp.MustCompile(`(?m)^`+key+` = .*$`).ReplaceAllLiteralString(config, key+" = "+value)
}

// wantRefused has the command and the signal reload what can't be.
func (i *instance) wantRefused(pid int, pattern string) {
	i.t.Helper()
	i.want(6, pattern, "reload")
	failures := strings.Count(i.log(), "reload failed")
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		i.t.Fatal(err)
	}
	i.eventually("the log tells of the failed reload", func() bool { return strings.Count(i.log(), "reload failed") > failures })
	status := i.want(0, fmt.Sprintf(`"state":"ready","pid":%d,`, pid), "--json", "status")
	if !strings.Contains(status.stdout, `"generation":1,`) {
		i.t.Errorf("status: %s", status.stdout)
	}
}

// Pitfall 42: of many reloads at once, while the file changes, each is one step
// of the generation, the last contents of the file count, and nothing is left.
func TestParallelReloads(t *testing.T) {
	t.Parallel()
	const reloads, contents = 100, 20
	i := newInstance(t)
	pid := i.start()
	good := i.defaultConfig()
	before := i.descriptors(pid)
	var group sync.WaitGroup
	for n := range contents {
		// In one step, as editors do it, so that no content is half a file.
		next := i.config + ".next"
		if err := os.WriteFile(next, []byte(withValue(good, "count", fmt.Sprint(n+1))), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, i.config); err != nil {
			t.Fatal(err)
		}
		for range reloads / contents {
			group.Go(func() {
				o := i.run("reload")
				if !strings.HasPrefix(o.stdout, fmt.Sprintf("%s: reloaded (pid %d, ", name, pid)) || o.code != 0 {
					t.Errorf("reload: exit %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
				}
			})
		}
	}
	group.Wait()
	steps := regexp.MustCompile(`msg=reloaded generation=(\d+)`).FindAllStringSubmatch(i.log(), -1)
	for n, step := range steps {
		if step[1] != fmt.Sprint(n+2) {
			t.Fatalf("reload %d made generation %s", n, step[1])
		}
	}
	status := i.want(0, fmt.Sprintf(`"generation":%d,`, reloads+1), "--json", "status")
	if !strings.Contains(status.stdout, fmt.Sprintf(`"workers":%d,`, contents)) {
		t.Errorf("the last contents of the file are not in force: %s", status.stdout)
	}
	const some = reloads / 10 // that a library may keep for later
	i.eventually("no descriptor is left", func() bool { return i.descriptors(pid) <= before+some })
}

// descriptors is how many the process has open; 0 where that can't be told.
func (i *instance) descriptors(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// Pitfall 30: a configuration that only the starter can read serves for start
// and reload, though the daemon is another user.
func TestPrivateConfiguration(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	if err := os.Chmod(i.config, 0o600); err != nil {
		t.Fatal(err)
	}
	pid := i.start()
	i.set("count", "3")
	i.want(0, `generation 2`, "reload")
	i.want(0, fmt.Sprintf(`ready \(pid %d\), .* 3 workers`, pid), "status")
	if !leftout.IsRoot() {
		return
	}
	// The signal leaves it to the daemon. It has the file open, which is enough
	// as long as it is the same one; of another it says so, and goes on.
	i.set("count", "4")
	i.hangUp(pid, "generation=3")
	i.want(0, `, 4 workers, `, "status")
	text, err := os.ReadFile(i.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(i.config, i.config+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(i.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	i.hangUp(pid, "can't read")
	i.want(0, `, 4 workers, .*the last reload failed`, "status")
}

// hangUp sends HUP and waits until the log says what comes of it.
func (i *instance) hangUp(pid int, text string) {
	i.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		i.t.Fatal(err)
	}
	i.eventually("the log says "+text, func() bool { return strings.Contains(i.log(), text) })
}
