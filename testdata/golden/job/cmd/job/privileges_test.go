package main

// Pitfalls 24 to 29, 8 and 9: what root gives up when it starts the service.
// Pitfall 30 is with the other tests of reload.

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"example.com/job/internal/leftout"
)

// serviceUser is the user that root's service becomes in these tests.
const serviceUser = "nobody"

// becomeServiceUser has root's service become this user.
func (i *instance) becomeServiceUser() {
	i.set("user", `"`+serviceUser+`"`)
	i.set("group", `""`)
}

// lookupServiceUser returns its numbers, and its groups as /proc shows them.
func lookupServiceUser(t *testing.T) (uid, gid, groups string) {
	t.Helper()
	entry, err := user.Lookup(serviceUser)
	if err != nil {
		leftout.Missing(t, "a user "+serviceUser)
	}
	out, err := exec.Command("id", "-G", serviceUser).Output()
	if err != nil {
		t.Fatal(err)
	}
	return entry.Uid, entry.Gid, strings.TrimSpace(string(out))
}

// Pitfalls 24, 25, 26: every thread has given up the rights of root, and the
// groups of whoever started it.
func TestRights(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	uid, gid, groups := lookupServiceUser(t)
	lines := []string{
		"Uid:" + strings.Repeat("\t"+uid, 4),
		"Gid:" + strings.Repeat("\t"+gid, 4),
		"Groups:\t" + groups + " ",
		"CapInh:\t0000000000000000",
		"CapPrm:\t0000000000000000",
		"CapEff:\t0000000000000000",
		"CapAmb:\t0000000000000000",
		"NoNewPrivs:\t1",
	}
	p := newProbe(t)
	// Who has groups that the daemon must not keep.
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27}}}
	start := p.command("start")
	start.SysProcAttr = as
	p.checkThreads(p.pid(p.check(p.finish(start), 0, `: started`, "start")), lines)
	p.checkThreads(p.upgrade(), lines)
	p.want(0, `: stopped`, "stop")

	foreground := p.command("foreground")
	foreground.SysProcAttr, foreground.Stderr = as, p.stderr()
	if err := foreground.Start(); err != nil {
		t.Fatal(err)
	}
	p.eventually("ready", func() bool { return p.run("status", "--ready").code == 0 })
	p.checkThreads(foreground.Process.Pid, lines)
	p.want(0, `: stopped`, "stop")
	if err := foreground.Wait(); err != nil {
		t.Error(err)
	}
}

// checkThreads makes sure that /proc says these lines of every thread of a
// daemon, of which there are many then.
func (p *probed) checkThreads(pid int, lines []string) {
	p.t.Helper()
	p.ask("threads 32")
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 32 {
		p.t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, line := range lines {
			if !strings.Contains(string(status), "\n"+line+"\n") {
				p.t.Fatalf("%s does not say %q:\n%s", thread, line, status)
			}
		}
	}
}

// Pitfall 27: no service runs as somebody else than was asked for.
func TestUnknownUser(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newInstance(t)
	i.set("user", `"nosuch-user"`)
	i.want(6, `daemon\.user: unknown user "nosuch-user"`, "start")
	i.becomeServiceUser()
	i.set("group", `"nosuch-group"`)
	i.want(6, `daemon\.group: unknown group "nosuch-group"`, "start")
	i.set("user", `""`)
	i.want(6, `daemon\.user: `, "start")
	i.writeConfig(i.defaultConfig())
	i.wantDown()
}

// A user without an entry in the user database, as in a container, serves too.
func TestUserByNumber(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newInstance(t)
	i.set("user", `"54321"`)
	i.set("group", `"54322"`)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.start()))
	if err != nil || !strings.Contains(string(status), "\nUid:\t54321\t54321\t54321\t54321\nGid:\t54322\t54322\t54322\t54322\n") {
		t.Errorf("%v\n%s", err, status)
	}
	if !regexp.MustCompile(`(?m)^Groups:\s*$`).Match(status) {
		t.Errorf("it has groups:\n%s", status)
	}
}

// Pitfall 28: no way leads back, and there is no capability but those listed.
func TestRightsAreGone(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	t.Run("for jobs", func(t *testing.T) {
		leftout.Program(t, "setpriv")
		p := newProbe(t)
		p.start()
		for _, line := range []string{"setpriv --reuid 0 true", "setpriv --clear-groups true", "setpriv --regid 0 --keep-groups true"} {
			if got := p.ask("run " + line); !strings.Contains(got, "not permitted") {
				t.Errorf("%s: %q, want it not permitted", line, got)
			}
		}
	})
	t.Run("as listed", func(t *testing.T) {
		i := newInstance(t)
		i.set("capabilities", `["CAP_NET_BIND_SERVICE", "CAP_SYS_NICE"]`)
		i.checkCapabilities(i.start(), "0000000000800400")
		i.checkCapabilities(i.upgrade(), "0000000000800400")
		i.want(0, `: stopped`, "stop")
		cmd := i.command("foreground")
		cmd.Stderr = i.stderr()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		i.eventually("ready", func() bool { return i.run("status", "--ready").code == 0 })
		i.checkCapabilities(cmd.Process.Pid, "0000000000800400")
		i.want(0, `: stopped`, "stop")
		_ = cmd.Wait()
	})
	t.Run("unknown", func(t *testing.T) {
		i := newInstance(t)
		i.set("capabilities", `["CAP_NOSUCH"]`)
		i.want(6, `daemon\.capabilities: unknown capability "CAP_NOSUCH"`, "start")
	})
}

// checkCapabilities makes sure that every thread has these capabilities, and can
// never have others.
func (i *instance) checkCapabilities(pid int, set string) {
	i.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		i.t.Fatalf("no threads: %v", err)
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if err != nil {
			i.t.Fatal(err)
		}
		for _, kind := range []string{"CapPrm", "CapEff", "CapAmb", "CapBnd"} {
			if !strings.Contains(string(status), "\n"+kind+":\t"+set+"\n") {
				i.t.Errorf("%s: %s is not %s:\n%s", thread, kind, set, status)
			}
		}
	}
}

// The sandbox leaves the service its own directories to write into, and no
// others, whatever the rights of its user.
func TestSandbox(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.writeConfig(strings.Replace(probeConfig, "[daemon]", "[daemon]\nsandbox = true", 1))
	p.becomeRootIfAlone()
	free := filepath.Join(p.dir, "free")
	if err := os.Mkdir(free, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(free, 0o777); err != nil {
		t.Fatal(err)
	}
	if o := p.run("start"); strings.Contains(o.stderr, "no Landlock") {
		leftout.Impossible(t, "Landlock in the kernel")
	}
	for _, pid := range []int{p.status().PID, p.upgrade()} {
		if got := p.ask("run touch " + free + "/x"); !strings.Contains(strings.ToLower(got), "denied") {
			t.Errorf("pid %d may write where it should not: %q", pid, got)
		}
		if got := p.ask("run touch " + filepath.Join(p.dir, "state", "x")); got != "<nil>" {
			t.Errorf("pid %d may not write into its state directory: %q", pid, got)
		}
	}
}

// Pitfall 8: the service's user can't put another pidfile in the place of the
// one that root trusts, nor write into it by its name.
func TestPidfileBelongsToTheStarter(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	p := newProbe(t)
	pid := p.start()
	p.ask("run echo 1 > " + p.pidfile())
	p.ask("run rm -f " + p.pidfile())
	p.ask("run touch " + filepath.Join(filepath.Dir(p.pidfile()), "x"))
	entries, err := os.ReadDir(filepath.Dir(p.pidfile()))
	if err != nil || len(entries) != 2 {
		t.Errorf("the run directory holds %v, %v", entries, err)
	}
	if text, err := os.ReadFile(p.pidfile()); err != nil || string(text) != fmt.Sprintf("%d\n", pid) {
		t.Errorf("the pidfile holds %q, %v", text, err)
	}
	// Through the descriptor that it has.
	stranger := stranger(t)
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, _ := os.Readlink(fd); target == p.pidfile() {
			if err := os.WriteFile(fd, fmt.Appendf(nil, "%d\n", stranger), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	if !alive(stranger) {
		t.Error("a stranger was killed")
	}
}

// Pitfall 8: what belongs to another user than the starter is not trusted: he
// could put something else into it, or in its place.
func TestFilesOfAnotherUser(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newInstance(t)
	i.start() // which makes them
	i.want(0, `: stopped`, "stop")
	const another = 65534
	for _, test := range []struct{ what, path string }{
		{"run directory", filepath.Dir(i.pidfile())},
		{"pidfile", i.pidfile()},
	} {
		if err := os.Chown(test.path, another, another); err != nil {
			t.Fatal(err)
		}
		i.want(4, fmt.Sprintf(`: %s \S+ belongs to uid %d, not to uid 0 who starts`, test.what, another), "start")
		i.wantDown()
		if err := os.Chown(test.path, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	i.start()
}

// Pitfall 9: one who may not signal root's daemon does not take it for dead, and
// changes nothing.
func TestStatusForAStranger(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newInstance(t)
	i.set("user", `"root"`)
	pid := i.start()
	before, err := os.ReadFile(i.pidfile())
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(i.dir, "program") // where others may run it
	if err := os.Link(i.program, program); err != nil {
		t.Fatal(err)
	}
	call := func(args ...string) outcome {
		cmd := i.command(args...)
		cmd.Path = program
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return i.finish(cmd)
	}
	i.check(call("status"), 0, fmt.Sprintf(`: running \(pid %d\)`, pid), "status")
	i.check(call("stop"), 4, `permission denied`, "stop")
	if o := call("reload"); o.code != 4 && o.code != 1 {
		t.Errorf("reload: exit %d, %s%s", o.code, o.stdout, o.stderr)
	}
	i.check(call("start"), 4, ``, "start")
	if after, err := os.ReadFile(i.pidfile()); err != nil || string(after) != string(before) {
		t.Errorf("the pidfile holds %q, %v; want %q", after, err, before)
	}
	i.want(0, fmt.Sprintf(`ready \(pid %d\).*, up`, pid), "status", "--ready")
}

// Pitfall 29: the service's user can put a link in the place of its log; root
// neither follows nor owns what it leads to.
func TestLogIsALink(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newInstance(t)
	i.becomeServiceUser()
	pid := i.start()
	victim := filepath.Join(i.dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(i.dir, "log", name+".log")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, log); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		info, err := os.Stat(victim)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 || info.Mode() != 0o600 {
			t.Errorf("the victim is %v, %v", info, err)
		}
		if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
			t.Errorf("the victim holds %q, %v", text, err)
		}
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	i.want(0, `generation 2`, "reload") // after it
	check()
	i.want(0, `: stopped`, "stop")
	i.want(1, `symbolic link|permission denied`, "start")
	check()
	i.wantDown()
}

// Pitfall 8: root in a container may not look into the processes of others, as
// it has no CAP_SYS_PTRACE there; its own daemon it finds and stops all the same.
func TestRootOfAContainer(t *testing.T) {
	leftout.Root(t)
	leftout.Program(t, "setpriv")
	i := newInstance(t)
	i.becomeServiceUser()
	contained := func(command string) outcome {
		return i.runInShell("setpriv --bounding-set -sys_ptrace --inh-caps -all D " + command)
	}
	pid := i.pid(i.check(contained("start"), 0, `: started`, "start"))
	i.check(contained("status"), 0, fmt.Sprintf(`ready \(pid %d\)`, pid), "status")
	i.check(contained("reload"), 0, `generation 2`, "reload")
	i.check(contained("upgrade"), 0, `: upgraded `, "upgrade")
	pid = i.status().PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // one that can't answer
		t.Fatal(err)
	}
	i.check(contained("stop"), 0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	i.wantDown()
}
