package main

// What takes namespaces, callers with odd habits and dead processes that nobody
// waits for: pitfalls 4, 5, 12, 18, 19, 27 and 37.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/job/internal/leftout"
)

// Pitfall 4: a process that has got the pid of a killed daemon is a stranger.
func TestPidUsedAgain(t *testing.T) {
	t.Parallel()
	if !inNamespace(t) {
		return
	}
	i := newInstance(t)
	i.becomeRootIfAlone()
	pid := i.start()
	i.kill(pid)
	i.eventually("the pid is free", func() bool { return statOf(pid) == nil })
	stranger := takePid(t, pid)
	i.want(0, `: not running`, "stop")
	i.want(7, `not running`, "reload")
	i.want(1, `: dead`, "status")
	if !alive(stranger) {
		t.Fatal("a stranger was killed")
	}
	i.start()
	i.want(0, `: stopped`, "stop")
	if !alive(stranger) {
		t.Error("a stranger was killed")
	}
}

// takePid starts a process that gets this pid.
func takePid(t *testing.T, pid int) int {
	t.Helper()
	for range 100 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", fmt.Append(nil, pid-1), 0); err != nil {
			leftout.Impossible(t, "the right to choose pids in a namespace")
		}
		cmd := exec.Command("sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if cmd.Process.Pid == pid {
			return pid // ends with the namespace
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Fatalf("no process got the pid %d", pid)
	return 0
}

// startAsInit starts the service in the foreground as process 1 of a namespace,
// as in a container.
func (i *instance) startAsInit() *exec.Cmd {
	i.t.Helper()
	cmd := i.inRole(roleInit, i.program, "foreground")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	newNamespace(cmd)
	err := cmd.Start()
	if errors.Is(err, os.ErrPermission) {
		leftout.Missing(i.t, noNamespaces)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	i.eventually("ready as process 1", func() bool {
		if isZombie(cmd.Process.Pid) {
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitNoProc {
				i.t.Fatalf("foreground: %v\n%s", err, stderr.String())
			}
			leftout.Missing(i.t, noNamespaces)
		}
		return i.run("status", "--ready").code == 0
	})
	return cmd
}

// Pitfall 5: the pidfile of a container that was killed holds the pid that the
// service of the next one has, 1, and does not keep it from starting.
func TestContainerStartedAgain(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	if os.Geteuid() != 0 {
		i.set("user", `"root"`) // whom an ordinary user is there
	}
	for range 2 {
		cmd := i.startAsInit()
		if text, err := os.ReadFile(i.pidfile()); err != nil || string(text) != "1\n" {
			t.Fatalf("the pidfile holds %q, %v; want 1", text, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		i.want(1, `: dead`, "status")
	}
	// Pitfall 37: TERM ends process 1, which it does not by itself.
	cmd := i.startAsInit()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("process 1 after TERM: %v", err)
	}
	i.wantDown()
}

// Pitfall 37: process 1 waits for the orphans of its jobs, and takes no status
// away from who waits for a program of its own.
func TestOrphansOfProcess1(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	if os.Geteuid() != 0 {
		p.set("user", `"root"`)
	}
	cmd := p.startAsInit()
	for n := range rounds(20, 1000) {
		if got := p.ask(fmt.Sprintf("run (sleep 0.01 &) ; exit %d", n%100)); n%100 > 0 && got != fmt.Sprintf("exit status %d", n%100) {
			t.Fatalf("a job's program ended with %q, want %d", got, n%100)
		}
	}
	p.eventually("no zombies", func() bool { return len(zombiesOf(cmd.Process.Pid)) == 0 })
}

// blocksNothing matches /proc/PID/status of a process with one thread that blocks no
// signal.
const blocksNothing = `(?m)^SigBlk:\t0+$`

// Pitfall 19: a caller who ignores and blocks every signal gets the same daemon
// as anybody, and so do its jobs.
func TestDeafCaller(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	deaf := func(code int, pattern string, args ...string) outcome {
		t.Helper()
		return p.check(p.finish(p.inRole(roleDeaf, append([]string{p.program}, args...)...)), code, pattern, strings.Join(args, " "))
	}
	pid := p.pid(deaf(0, `: started`, "start"))
	p.blocksNothing(pid)
	if got := p.statusText(pid); !regexp.MustCompile(ignoresNothing).MatchString(got) {
		t.Errorf("the daemon ignores signals:\n%s", got)
	}
	if got := p.ask("run cat /proc/self/status"); !regexp.MustCompile(blocksNothing).MatchString(got) || !regexp.MustCompile(ignoresNothing).MatchString(got) {
		t.Errorf("a job's program blocks or ignores signals:\n%s", got)
	}
	deaf(0, `ready`, "status", "--ready")
	deaf(0, `generation 2`, "reload")
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.eventually("HUP reloads", func() bool { return p.status().Generation == 3 })
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	p.eventually("USR1 reopens", func() bool { return strings.Contains(p.log(), "log reopened") })
	deaf(0, `: started`, "restart")
	deaf(0, `: stopped`, "stop")
	p.wantDown()

	cmd := p.inRole(roleDeaf, p.program, "foreground")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.eventually("ready in the foreground", func() bool { return p.run("status", "--ready").code == 0 })
	if got := p.ask("run cat /proc/self/status"); !regexp.MustCompile(blocksNothing).MatchString(got) {
		t.Errorf("a job's program blocks signals in the foreground:\n%s", got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("foreground after TERM: %v", err)
	}
}

func (i *instance) statusText(pid int) string {
	i.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(text)
}

// Pitfall 18: a job that opens a terminal does not make it that of the daemon.
func TestTerminalIsNotTaken(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		leftout.Impossible(t, "terminals: "+err.Error())
	}
	defer func() { _ = master.Close() }()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal := fmt.Sprintf("/dev/pts/%d", number)
	if err := os.Chmod(terminal, 0o666); err != nil {
		leftout.Impossible(t, "terminals: "+err.Error())
	}
	p := newProbe(t)
	pid := p.start()
	if got := p.ask("open " + terminal); got != "<nil>" {
		t.Fatalf("open %s: %s", terminal, got)
	}
	if stat := statOf(pid); len(stat) < 5 || stat[4] != "0" {
		t.Errorf("the daemon has a terminal: %v", stat)
	}
}

// Pitfall 12: stop does not wait for process 1, which may never wait for the
// daemon that it has adopted.
func TestStopWhereNobodyWaits(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	reaping.Lock()
	pid := i.start()
	o := i.run("stop", "--timeout", "1h")
	stat := statOf(pid)
	status := i.run("status")
	reaping.Unlock()
	reap()
	if stat == nil || stat[0] != "Z" {
		t.Errorf("it is no zombie, so this tests nothing: %v", stat)
	}
	i.check(o, 0, `: stopped`, "stop")
	i.check(status, 3, `not running`, "status")
}

// Pitfall 27: where root can't become the user, as in a namespace that has only
// one, nothing runs.
func TestUserCannotBecome(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newInstance(t)
	i.becomeServiceUser()
	i.start() // which makes the directories
	i.want(0, `: stopped`, "stop")
	for _, command := range []string{"start", "foreground"} {
		cmd := i.command(command)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{Size: 1}},
		}
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			leftout.Impossible(t, "the right to make a namespace of users")
		}
		i.check(outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, 4, serviceUser, command)
		i.wantDown()
	}
}
