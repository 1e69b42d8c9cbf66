package main

// What upgrade and USR2 do.

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.want(7, `: upgrade: not running`, "upgrade")
	before := i.start()
	file, err := os.Stat(i.pidfile())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		after := i.upgrade()
		if after == before {
			t.Fatalf("pid %d after the upgrade too", after)
		}
		if text, err := os.ReadFile(i.pidfile()); err != nil || string(text) != fmt.Sprintf("%d\n", after) {
			t.Errorf("pidfile: %q, %v; want the pid %d", text, err, after)
		}
		i.want(0, fmt.Sprintf(`ready \(pid %d\)`, after), "status", "--ready")
		i.want(0, fmt.Sprintf(`already running \(pid %d\)`, after), "start")
		i.want(0, fmt.Sprintf(`reloaded \(pid %d, `, after), "reload") // pitfall 52
		i.eventually("the one before is gone", func() bool { return !alive(before) })
		before = after
	}
	if now, err := os.Stat(i.pidfile()); err != nil || !os.SameFile(file, now) {
		t.Errorf("the pidfile is another one, %v", err)
	}
	i.checkProcess(before)
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, before), "stop")
	i.want(3, ``, "status")
}

// By the signal it is the program that was started, also if another one is in
// its place by now.
func TestUpgradeBySignal(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	before := i.start()
	if err := syscall.Kill(before, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	i.eventually("another process serves", func() bool {
		o := i.run("status", "--ready")
		return o.code == 0 && i.pid(o) != before && !alive(before)
	})
}

// A program that only its owner can reach is passed to the daemon, open.
func TestUpgradeToPrivateProgram(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	before := i.start()
	private := filepath.Join(i.dir, "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(i.program)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeProgram(filepath.Join(private, name), text); err != nil {
		t.Fatal(err)
	}
	after := i.upgrade("--binary", filepath.Join(private, name))
	i.eventually("the one before is gone", func() bool { return !alive(before) })
	i.checkProcess(after)
}

// Pitfall 55: where the new program is broken, the old one goes on, and the
// caller learns why.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	pid := i.start()
	script := func(name, text string) string {
		path := filepath.Join(i.dir, name)
		if err := writeProgram(path, []byte("#!/bin/sh\n"+text+"\n")); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hanging := filepath.Join(i.dir, "state", "pid") // where the service's user may write
	const passes = `case "$*" in *check) exit 0 ;; esac; `
	plain := filepath.Join(i.dir, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What hangs takes all of the time; the others must not run out of it.
	const short, long = "1s", "1m"
	for _, c := range []struct{ what, binary, wait, pattern string }{
		{"that fails", "/bin/false", long, `check: exit status 1`},
		{"that is not there", filepath.Join(i.dir, "nosuch"), long, `no such file`},
		{"that is none", plain, long, `permission denied`},
		{"that is a folder", i.dir, long, `is a directory|permission denied`},
		{"that finds fault", script("fault", "echo of all things >&2; exit 6"), long, `of all things`},
		{"that hangs in the check", script("hangs", "exec sleep 60"), short, `no answer`},
		{"that dies at the start", script("dies", passes+"echo out of luck >&2; exit 1"), long, `out of luck`},
		{"that ends at the start", script("ends", passes+"exit 0"), long, `died before it was ready`},
		{"that hangs at the start", script("stays", passes+"echo $$ >"+hanging+"; sleep 600"), short, `not ready in time`},
	} {
		code := 1
		if c.what == "that finds fault" {
			code = 6
		}
		o := i.run("upgrade", "--binary", c.binary, "--wait", c.wait)
		i.check(o, code, `upgrade: .*(`+c.pattern+`)`, "upgrade to a program "+c.what)
		i.want(0, fmt.Sprintf(`ready \(pid %d\)`, pid), "status", "--ready")
		if text, err := os.ReadFile(i.pidfile()); err != nil || string(text) != fmt.Sprintf("%d\n", pid) {
			t.Errorf("pidfile: %q, %v; want the pid %d", text, err, pid)
		}
	}
	text, err := os.ReadFile(hanging)
	if err != nil {
		t.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	i.eventually("what hung is ended", func() bool { return !alive(left) })
	i.writeConfig("[nosuch]\n")
	i.want(6, `nosuch`, "upgrade")
	i.writeConfig(i.defaultConfig())
	i.want(0, fmt.Sprintf(`reloaded \(pid %d, generation 2\)`, pid), "reload")
	i.upgrade()
}

// A stop while an upgrade is under way ends both.
func TestStopWhileUpgrading(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	for n := range 8 {
		i.start()
		done := make(chan outcome, 1)
		go func() { done <- i.run("upgrade") }()
		time.Sleep(time.Duration(n) * 3 * time.Millisecond) // spread over the upgrade
		i.want(0, `: stopped`, "stop")
		<-done
		i.want(3, `: not running`, "status")
	}
}

// Pitfall 30: a configuration that only the starter can read is handed on.
func TestUpgradeWithPrivateConfiguration(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.becomeServiceUser()
	if err := os.Chmod(i.config, 0o600); err != nil {
		t.Fatal(err)
	}
	i.start()
	i.upgrade()
	pid := i.upgrade()
	i.set("count", "3")
	i.hangUp(pid, "generation=4")
	i.want(0, `, 3 workers, `, "status")
}
