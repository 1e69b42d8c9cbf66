package main

// What the tests do beside calling the program, on Linux: they adopt the daemons
// whose starters are gone, and run themselves again in another role: as a caller
// with odd habits, or as process 1 of a namespace.

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.com/fee/internal/leftout"
)

// Variables of the environment for a process that plays a role.
const (
	roleVariable    = "FEE_TEST_ROLE"
	programVariable = "FEE_TEST_PROGRAM" // the program that is built already
)

// The roles. All but the last go over into the program that the arguments name.
const (
	roleDeaf  = "deaf"  // blocks and ignores every signal
	roleInit  = "init"  // is process 1 of a namespace, with its own /proc
	roleTests = "tests" // likewise, and runs a test there
)

// exitNoProc says that /proc of the namespace could not be mounted.
const exitNoProc = 99

// playRole does what the role of this process asks for. It returns false if this
// process has none, or one in which it goes on with the tests.
func playRole() (code int, ok bool) {
	role := os.Getenv(roleVariable)
	if role == roleInit || role == roleTests {
		if err := mountProc(); err != nil {
			printf(os.Stderr, "mount /proc: %v\n", err)
			return exitNoProc, true
		}
	}
	if role == "" || role == roleTests {
		return 0, false
	}
	if err := os.Unsetenv(roleVariable); err != nil {
		return 1, true
	}
	if role == roleDeaf {
		runtime.LockOSThread() // the mask of the thread that executes is handed on
		signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD,
			syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTSTP, syscall.SIGALRM)
		var all unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^all.Val[i]
		}
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
			return 1, true
		}
	}
	err := syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	printf(os.Stderr, "%s: %v\n", os.Args[1], err)
	return 1, true
}

func mountProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}

// inRole is a command that runs these tests again in a role, which goes over
// into the program that the words name.
func (i *instance) inRole(role string, words ...string) *exec.Cmd {
	i.t.Helper()
	self, err := os.Executable()
	if err != nil {
		i.t.Fatal(err)
	}
	cmd := exec.Command(self, words...)
	cmd.Env, cmd.Dir = append(i.env[:len(i.env):len(i.env)], roleVariable+"="+role), i.dir
	return cmd
}

// newNamespace has a command start as process 1 of a namespace of its own, where
// it is root.
func newNamespace(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
}

const noNamespaces = "the right to make a namespace of processes, with its own /proc"

// inNamespace has the calling test run again as process 1 of a namespace, and
// returns true there. The test ends where it returns false.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(roleVariable) == roleTests {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), roleVariable+"="+roleTests, programVariable+"="+binary)
	newNamespace(cmd)
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	switch {
	case errors.Is(err, os.ErrPermission), errors.As(err, &exit) && exit.ExitCode() == exitNoProc:
		leftout.Impossible(t, noNamespaces)
	case err == nil && leftOutIn(string(out)) != "":
		leftout.Skip(t, leftOutIn(string(out)))
	case err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
	return false
}

// leftOutIn returns why the only test of a run was left out; "" if it was not.
func leftOutIn(out string) string {
	if !strings.Contains(out, "\n--- SKIP: ") {
		return ""
	}
	_, after, _ := strings.Cut(out, "LEFT OUT: ")
	reason, _, _ := strings.Cut(after, "\n")
	return reason
}

// becomeRootIfAlone has the service stay root where there is no other user: in
// the namespace of an ordinary user.
func (i *instance) becomeRootIfAlone() {
	i.t.Helper()
	users, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		i.t.Fatal(err)
	}
	if fields := strings.Fields(string(users)); len(fields) == 3 && fields[2] == "1" {
		i.set("user", `"root"`)
	}
}

// reaping is held by whoever wants the dead to stay where they are.
var reaping sync.Mutex

// reapOrphans makes this process the parent of daemons whose starters are gone
// (PR_SET_CHILD_SUBREAPER, prctl(2)) and waits for them: process 1 of a container
// may not. What exec.Cmd has started is left to it.
func reapOrphans() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, syscall.SIGCHLD)
	go func() {
		for range deaths {
			reap()
		}
	}()
	return nil
}

// reap waits for the dead children that were adopted: the others have a pidfd
// here for as long as exec.Cmd has not waited for them.
func reap() {
	reaping.Lock()
	defer reaping.Unlock()
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return // there are none on this system: they can't be told apart
	}
	_ = unix.Close(pidfd)
	dead := zombiesOf(os.Getpid())
	if len(dead) == 0 {
		return
	}
	started := make(map[int]bool)
	infos, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, info := range infos {
		text, _ := os.ReadFile(info)
		if _, after, ok := strings.Cut(string(text), "\nPid:\t"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]))
			started[pid] = true
		}
	}
	for _, pid := range dead {
		if !started[pid] {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

// zombiesOf returns the children of a process that nobody has waited for.
func zombiesOf(parent int) []int {
	var dead []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, word := range strings.Fields(string(text)) {
			pid, _ := strconv.Atoi(word)
			if stat := statOf(pid); stat != nil && stat[0] == "Z" {
				dead = append(dead, pid)
			}
		}
	}
	return dead
}
