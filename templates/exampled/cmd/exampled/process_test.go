package main

// What the daemon is, and is not, as a process.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Pitfalls 16 and 17: a caller that reads the output of start gets to its end,
// and nothing that the caller has open gets into the daemon.
func TestStartHoldsNothingOfTheCaller(t *testing.T) {
	i := newInstance(t)
	secret, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = secret.Close() }()
	for range 10 {
		i.startWithOpen(slices.Repeat([]*os.File{secret}, 20))
		i.want(0, `: stopped`, "stop")
	}
}

// startWithOpen starts the service from a caller who has files open, and looks
// at what the daemon has open the moment that start returns.
func (i *instance) startWithOpen(files []*os.File) {
	t := i.t
	t.Helper()
	cmd := exec.Command(binary, "start")
	cmd.Env, cmd.Dir, cmd.ExtraFiles = i.env, i.dir, files
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := i.pid(outcome{stdout: string(out)})
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			t.Fatal(err)
		}
		n := filepath.Base(fd)
		standard := n == "0" || n == "1" || n == "2"
		if strings.HasPrefix(target, "pipe:") || target == os.DevNull && !standard {
			t.Errorf("descriptor %s of the daemon is %s", n, target)
		}
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("the daemon's directory is %s, %v", cwd, err) // pitfall 21
	}
}

// ignoresNothing matches /proc/PID/status of a process that ignores no signal,
// since what is ignored stays so in the programs of a job (pitfall 19). Signals
// 32 and 33 are the C library's own, and no business of a program: whoever is
// started by glibc's posix_spawn, as by make, has 32 ignored.
const ignoresNothing = `(?m)^SigIgn:\t0{7}[01][08]0{7}$`

// The facts of daemon(7): a session that it does not lead, no terminal.
func TestProcessFacts(t *testing.T) {
	i := newInstance(t)
	start := exec.Command(binary, "start")
	start.Env, start.Dir = i.env, i.dir
	if os.Geteuid() == 0 { // who has groups that the daemon must not keep
		start.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27}}}
	}
	out, err := start.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := i.pid(outcome{stdout: string(out)})
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(stat), ") ")
	if _, comm, _ := strings.Cut(before, "("); comm != name[:min(15, len(name))] {
		t.Errorf("ps shows it as %q", comm)
	}
	var state string
	var parent, group, session, tty int
	if _, err := fmt.Sscan(after, &state, &parent, &group, &session, &tty); err != nil {
		t.Fatal(err)
	}
	if session == pid || tty != 0 || parent == os.Getpid() { // pitfall 18
		t.Errorf("pid %d has session %d, terminal %d, parent %d", pid, session, tty, parent)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{`(?m)^NoNewPrivs:\t1$`, `(?m)^SigBlk:\t0+$`, ignoresNothing, `(?m)^Umask:\t0027$`} {
		if !regexp.MustCompile(pattern).Match(status) {
			t.Errorf("no match of %q in\n%s", pattern, status)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	// Pitfalls 24, 25, 26: every thread has given up the rights of root.
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^(Uid|Gid):(\t0)+$|^Cap(Prm|Eff|Amb):\t.*[1-9a-f].*$|^Groups:.*\b(0|4|27)\b`)
	for _, thread := range threads {
		if status, err := os.ReadFile(thread); err != nil || rights.Match(status) {
			t.Errorf("%s, %v: %q", thread, err, rights.FindAll(status, -1))
		}
	}
}
