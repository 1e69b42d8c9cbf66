package lifecycle

// Processes that are ours: those whose program is in the private folder. Only
// they are ever signalled, through a handle that stays with the process.

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// onLinux: elsewhere there is no /proc that tells of processes.
const onLinux = runtime.GOOS == "linux"

// below returns the processes whose program is in the folder, dead ones aside,
// also if the program is deleted. None are known where the system does not tell.
func below(dir string) []int {
	programs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return nil
	}
	var pids []int
	for _, link := range programs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && pid != os.Getpid() && isBelow(pid, dir) && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isBelow tells whether the program of a process is in the folder.
func isBelow(pid int, dir string) bool {
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && strings.HasPrefix(program, dir+string(filepath.Separator))
}

// endBelow ends all of them at once, for good: it is done when two looks in a
// row find none, since one may be starting another while it is looked for.
func endBelow(dir string) {
	const enough = 10 * time.Second
	begin := time.Now()
	for quiet := 0; quiet < 2 && time.Since(begin) < enough; {
		pids := below(dir)
		for _, pid := range pids {
			_ = signalBelow(pid, dir, syscall.SIGKILL)
		}
		if quiet++; len(pids) > 0 {
			quiet = 0
			time.Sleep(time.Millisecond)
		}
	}
}

// signalBelow sends a signal to a process if its program is in the folder. The
// handle is taken before it is looked at, and so can't be of another process.
func signalBelow(pid int, dir string, s syscall.Signal) error {
	if pid <= 1 {
		return fmt.Errorf("pid %d is not the daemon's", pid)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer func() { _ = process.Release() }()
	if onLinux && !isBelow(pid, dir) {
		return fmt.Errorf("pid %d is not, or no more, the daemon's", pid)
	}
	return process.Signal(s)
}

// alive tells whether a process runs; a dead one may wait for its parent to
// take notice.
func alive(pid int) bool {
	if pid <= 1 {
		return false
	}
	if !onLinux {
		return syscall.Kill(pid, 0) == nil
	}
	fields := statOf(pid)
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}

// statOf returns the fields of /proc/PID/stat (proc(5)) from the third on:
// state, parent, group, session, terminal …; nil if there is no such process.
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The second is a name in parentheses that may hold anything.
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
}
