package main

// What reload, HUP and USR1 do.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Pitfalls 38, 39 and 42: whatever the file holds, HUP neither ends the service
// nor changes its pid, and the last good configuration counts in the end.
func TestHangups(t *testing.T) {
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
	i := newInstance(t)
	cmd := exec.Command(binary, "foreground")
	cmd.Env, cmd.Dir = i.env, i.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// The first thing that it makes.
	i.eventually("it has begun to start", func() bool { _, err := os.Stat(filepath.Dir(i.pidfile())); return err == nil })
	ready := make(chan struct{})
	var signals sync.WaitGroup
	signals.Go(func() {
		for {
			select {
			case <-ready:
				return
			case <-time.After(200 * time.Microsecond):
			}
			_ = cmd.Process.Signal(syscall.SIGHUP)
			_ = cmd.Process.Signal(syscall.SIGUSR1)
		}
	})
	i.eventually("ready", func() bool { return i.run("status", "--ready").code == 0 })
	close(ready)
	signals.Wait()
	if pid := i.pid(i.want(0, `(ready|reloading) `, "status")); pid != cmd.Process.Pid {
		t.Errorf("pid %d, want %d", pid, cmd.Process.Pid)
	}
	i.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Pitfalls 38 and 40: a reload that fails says why, and changes nothing.
func TestReloadFails(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	good := i.defaultConfig()
	for text, pattern := range map[string]string{
		good + "\n[nosuch]\n":                           `:\d+:\d+: nosuch: `,
		good + "\n= = =\n":                              `:\d+:\d+: `,
		strings.Replace(good, "user = ", "user = [", 1): `:\d+:\d+: `,
		good + "\n[worker2]\nx = 1\n":                   `worker2`,
		"\x00\x01\x02":                                  `:1:\d+: `,
		strings.ReplaceAll(good, "info", "loud"):        `log\.level: `,
	} {
		i.writeConfig(text)
		i.want(6, pattern, "reload")
		i.want(0, fmt.Sprintf(`ready \(pid %d\)`, pid), "status")
	}
	if err := os.Remove(i.config); err != nil {
		t.Fatal(err)
	}
	i.want(6, ``, "reload")
	i.writeConfig(good)
	i.set("umask", `"0077"`)
	i.want(152, `needs a restart: daemon\.umask \(try `+name+` restart\)\n$`, "reload")
	i.writeConfig(good)
	i.want(0, `generation 2`, "reload")
}

// Pitfall 46: after a rotation and USR1 the log goes on in a new file.
func TestReopen(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	file := filepath.Join(i.dir, "log", name+".log")
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	i.eventually("the log is there again", func() bool { return strings.Contains(i.log(), "log reopened") })
}

// Pitfall 30: a configuration that only the starter can read serves for start
// and reload, though the daemon is another user.
func TestPrivateConfiguration(t *testing.T) {
	i := newInstance(t)
	if err := os.Chmod(i.config, 0o600); err != nil {
		t.Fatal(err)
	}
	pid := i.start()
	i.set("count", "3")
	i.want(0, `generation 2`, "reload")
	i.want(0, fmt.Sprintf(`ready \(pid %d\), .* 3 workers`, pid), "status")
	if os.Geteuid() != 0 {
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
