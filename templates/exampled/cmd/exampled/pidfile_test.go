package main

// What a pidfile can hold, and does not lead to.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Pitfalls 4 and 6: a pidfile that a killed daemon has left, or that holds
// nonsense, neither blocks a start nor leads a signal to a stranger.
func TestStalePidfile(t *testing.T) {
	i := newInstance(t)
	i.kill(i.start())
	i.want(1, `: dead, `, "status")

	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	for _, text := range []string{
		fmt.Sprintf("%d\n", stranger.Process.Pid), "", "0\n", "-1\n", "1\n", "abc\n", strings.Repeat("9", 20), "\x00\x00", strings.Repeat("7", 1<<20),
	} {
		if err := os.WriteFile(i.pidfile(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		i.want(0, `: not running\n$`, "stop")
		i.want(7, ``, "reload")
		if !alive(stranger.Process.Pid) {
			t.Fatalf("pidfile %.20q: a stranger was killed", text)
		}
		pid := i.start()
		i.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
		i.kill(pid)
	}
}

// Pitfall 8: the daemon's user could write another pid through the descriptor
// that it has; only who holds the lock is ever signalled.
func TestPidfileOverwritten(t *testing.T) {
	i := newInstance(t)
	pid := i.start()
	stranger := exec.Command("sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Process.Kill(); _ = stranger.Wait() }()
	if err := os.WriteFile(i.pidfile(), fmt.Appendf(nil, "%d\n", stranger.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	if !alive(stranger.Process.Pid) {
		t.Error("a stranger was killed")
	}
}

// Pitfall 7: root does not follow a link that stands in place of the pidfile.
func TestPidfileIsALink(t *testing.T) {
	i := newInstance(t)
	victim := filepath.Join(i.dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(i.pidfile()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, i.pidfile()); err != nil {
		t.Fatal(err)
	}
	i.want(4, `symbolic link`, "start")
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("the victim is %q, %v", text, err)
	}
}
