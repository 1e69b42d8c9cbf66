package main

// Pitfalls 1 to 12: the pidfile, who the daemon is, and that there is only one.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/edm/internal/nettest"
)

// Pitfall 1: starts at the same time make one daemon, and all of them tell of
// it.
func TestParallelStarts(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	callers := rounds(24, 50)
	for round := range rounds(3, 20) {
		outcomes := make([]outcome, callers)
		var starts sync.WaitGroup
		for n := range outcomes {
			starts.Go(func() { outcomes[n] = i.run("start") })
		}
		starts.Wait()
		started, pids := 0, make(map[int]bool)
		for _, o := range outcomes {
			if o.code != 0 {
				t.Fatalf("round %d: a start exited %d: %s", round, o.code, o.stderr)
			}
			pids[i.pid(o)] = true
			if strings.Contains(o.stdout, ": started") {
				started++
			}
		}
		if len(pids) != 1 || started != 1 {
			t.Fatalf("round %d: pids %v, %d say started; want one", round, pids, started)
		}
		if daemons := i.daemons(); len(daemons) != 1 || !pids[daemons[0]] {
			t.Fatalf("round %d: the daemons are %v, and start says %v", round, daemons, pids)
		}
		i.want(0, `: stopped`, "stop")
	}
}

// Pitfall 2: the pidfile is one file for ever, so that nobody can lock another
// than the rest.
func TestPidfileStaysTheSame(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start()
	// Open, so that no other file can get its number.
	file, err := os.Open(i.pidfile())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	before, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for range rounds(5, 100) {
		i.want(0, `: stopped`, "stop")
		i.start()
		after, err := os.Lstat(i.pidfile())
		if err != nil || !os.SameFile(before, after) {
			t.Fatalf("the pidfile is another one, %v", err)
		}
	}
}

// Pitfall 2: whoever starts and stops at the same time, there are never two
// daemons.
func TestStorm(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	var over atomic.Bool
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			for round := n; !over.Load(); round++ {
				i.run([]string{"start", "stop"}[round%2])
			}
		})
	}
	for deadline := time.Now().Add(time.Duration(rounds(1, 30)) * time.Second); time.Now().Before(deadline); {
		if daemons := i.daemons(); len(daemons) > 1 {
			t.Errorf("there are %d daemons", len(daemons))
			break
		}
		time.Sleep(5 * time.Millisecond) // leaves the callers something to compute with
	}
	over.Store(true)
	callers.Wait()
	i.want(0, ``, "stop")
	i.wantDown()
}

// Pitfall 3: who removes the pidfile gets no second daemon, and the one that
// runs can still be asked and stopped.
func TestPidfileRemoved(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	pid := i.start()
	if err := os.Remove(i.pidfile()); err != nil {
		t.Fatal(err)
	}
	i.want(0, fmt.Sprintf(`: already running \(pid %d\)`, pid), "start")
	if daemons := i.daemons(); len(daemons) != 1 || daemons[0] != pid {
		t.Errorf("the daemons are %v, want %d alone", daemons, pid)
	}
	// By the daemon, or by the start above where only root may.
	i.eventually("the pidfile is restored", func() bool {
		text, err := os.ReadFile(i.pidfile())
		return err == nil && string(text) == fmt.Sprintf("%d\n", pid)
	})
	i.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
	if err := os.Remove(i.pidfile()); err != nil {
		t.Fatal(err)
	}
	i.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	i.wantDown()
}

// Pitfalls 4 and 6: a pidfile that a killed daemon has left, or that holds
// nonsense, neither blocks a start nor leads a signal to a stranger.
func TestStalePidfile(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.kill(i.start())
	i.want(1, `: dead, `, "status")

	stranger := stranger(t)
	for _, text := range []string{
		fmt.Sprintf("%d\n", stranger), "", "0\n", "-1\n", "1\n", "abc\n", strings.Repeat("9", 20), "\x00\x00", strings.Repeat("7", 1<<20),
	} {
		if err := os.WriteFile(i.pidfile(), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		i.want(0, `: not running\n$`, "stop")
		i.want(7, ``, "reload")
		if !alive(stranger) {
			t.Fatalf("pidfile %.20q: a stranger was killed", text)
		}
		pid := i.start()
		i.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
		i.kill(pid)
	}
}

// Pitfall 7: root does not follow a link that stands in place of the pidfile.
func TestPidfileIsALink(t *testing.T) {
	t.Parallel()
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
	if info, err := os.Stat(victim); err != nil || info.Mode() != 0o600 {
		t.Errorf("the victim is %v, %v", info, err)
	}
}

// Pitfall 8: the daemon's user could write another pid through the descriptor
// that it has; only who holds the lock is ever signalled.
func TestPidfileOverwritten(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	pid := i.start()
	stranger := stranger(t)
	if err := os.WriteFile(i.pidfile(), fmt.Appendf(nil, "%d\n", stranger), 0o644); err != nil {
		t.Fatal(err)
	}
	i.want(0, fmt.Sprintf(`reloaded \(pid %d`, pid), "reload")
	i.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
	i.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	if !alive(stranger) {
		t.Error("a stranger was killed")
	}
}

// Pitfall 8: a directory in which others could put a pidfile or a control socket
// of their own is refused.
func TestRunDirectoryOfOthers(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	dir := filepath.Dir(i.pidfile())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o775, 0o757, 0o1777} {
		if err := os.Chmod(dir, mode.Perm()); err != nil {
			t.Fatal(err)
		}
		i.want(4, `may be written by group or world`, "start")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("start left %v, %v", entries, err)
	}
}

// Pitfall 10: whoever asks for the status takes nothing that a start needs.
func TestStatusDisturbsNobody(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	var over atomic.Bool
	var callers sync.WaitGroup
	for range 2 {
		callers.Go(func() {
			for !over.Load() {
				i.run("status")
			}
		})
	}
	defer callers.Wait()
	defer over.Store(true)
	for range rounds(5, 100) {
		i.start()
		i.want(0, `: stopped`, "stop")
		// Unlike start, this does not try again when the lock is held.
		cmd := i.foreground()
		i.want(0, `: stopped`, "stop")
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, cmd.Stderr)
		}
	}
}

// Pitfall 11: what a job has started keeps neither the lock nor the listener of
// a daemon that was killed.
func TestStartBesideAChild(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.writeConfig(strings.Replace(probeConfig, "127.0.0.1:0", nettest.FreeAddress(t), 1))
	p.becomeRootIfAlone()
	pid := p.start()
	child := p.spawn()
	defer func() { _ = syscall.Kill(child, syscall.SIGKILL) }()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.eventually("the killed daemon is gone", func() bool { return !alive(pid) })
	p.start()
}

// Pitfall 12: a dead process that its parent has not waited for does not run.
func TestZombieDoesNotRun(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	isZombie := func(pid int) func() bool {
		return func() bool { stat := statOf(pid); return stat != nil && stat[0] == "Z" }
	}
	killed := i.foreground()
	defer func() { _ = killed.Wait() }()
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	i.eventually("it is a zombie", isZombie(killed.Process.Pid))
	i.want(1, `: dead`, "status")
	i.want(0, `: not running`, "stop", "--timeout", "1h")

	stopped := i.foreground()
	defer func() { _ = stopped.Wait() }()
	// It becomes a zombie while stop waits for it.
	i.want(0, `: stopped`, "stop", "--timeout", "1h")
	if !isZombie(stopped.Process.Pid)() {
		t.Error("it is no zombie, so this tests nothing")
	}
	i.wantDown()
}
