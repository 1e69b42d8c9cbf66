package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kin is what /proc tells of who a process belongs to.
type kin struct {
	pid, parent, group, session int
	ended                       bool // a zombie
}

// readKin reads /proc/PID/stat, see proc_pid_stat(5).
func readKin(pid int) (kin, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return kin{}, err
	}
	// The name of the program is in parentheses, and may have some itself.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 4 {
		return kin{}, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	k := kin{pid: pid, ended: string(fields[0]) == "Z" || string(fields[0]) == "X"}
	for i, value := range []*int{&k.parent, &k.group, &k.session} {
		if *value, err = strconv.Atoi(string(fields[1+i])); err != nil {
			return kin{}, err
		}
	}
	return k, nil
}

func allKin() []kin {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []kin
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			if k, err := readKin(pid); err == nil {
				all = append(all, k)
			}
		}
	}
	return all
}

// offspring returns the processes that pid has started, and those that these
// have, and so on; and with ownGroup, which says that its process group is of the
// daemon alone, those of the group whose parents have gone. The process itself is
// not among them, nor those in except with theirs, nor zombies.
func offspring(pid int, ownGroup bool, except ...int) []int {
	all := allKin()
	index := slices.IndexFunc(all, func(k kin) bool { return k.pid == pid })
	if index < 0 {
		return nil
	}
	root := all[index]
	found := []int{pid}
	for grown := true; grown; {
		grown = false
		for _, k := range all {
			if slices.Contains(found, k.pid) || slices.Contains(except, k.pid) {
				continue
			}
			if slices.Contains(found, k.parent) || ownGroup && k.group == root.group {
				found = append(found, k.pid)
				grown = true
			}
		}
	}
	return slices.DeleteFunc(found, func(member int) bool {
		return member == pid || slices.ContainsFunc(all, func(k kin) bool { return k.pid == member && k.ended })
	})
}

// seemsOwnGroup reports what another process can see of [Handover.OwnsGroup]: the
// daemon leads its group, and either its session too or one whose leader has gone,
// as a detached one does. One in the foreground is in the group of a script or a
// pipeline, whose other members are not its own, though their session's leader may
// have gone or, outside of a container, can't be seen.
func seemsOwnGroup(pid int) bool {
	k, err := readKin(pid)
	if err != nil || k.group != pid {
		return false
	}
	if k.session == pid {
		return true
	}
	_, err = readKin(k.session)
	return k.session != 0 && err != nil
}

// Children are handles of processes that a daemon has started.
type Children []*Process

// openChildren returns handles of the offspring of pid. Whoever has ended
// meanwhile is left out; so is what has the pid by then, since its parent or its
// group is another.
func openChildren(pid int, ownGroup bool, except ...int) Children {
	var children Children
	for _, member := range offspring(pid, ownGroup, except...) {
		before, err := readKin(member)
		if err != nil {
			continue
		}
		fd, err := unix.PidfdOpen(member, 0)
		if err != nil {
			continue
		}
		p := &Process{member, fd}
		if after, err := readKin(member); err != nil || after.group != before.group || p.ended(0) {
			p.Close()
			continue
		}
		children = append(children, p)
	}
	return children
}

// End ends them: with TERM, and with KILL those that are there after grace. One that
// has become somebody else, by a set-user-ID program, may not be ours to end.
func (c Children) End(grace time.Duration) {
	for _, p := range c {
		_ = p.Signal(syscall.SIGTERM, syscall.SIGCONT)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, p := range c {
		if p.Wait(ctx) == nil || p.Signal(syscall.SIGKILL) == nil {
			_ = p.Wait(context.Background())
		}
		p.Close()
	}
}

// Close releases the handles.
func (c Children) Close() {
	for _, p := range c {
		p.Close()
	}
}

// EndChildren ends what this process has started and not waited for, besides
// the pids in except.
func (h *Handover) EndChildren(grace time.Duration, except ...int) {
	openChildren(os.Getpid(), h.OwnsGroup(), except...).End(grace)
}

// KillGroupAtDeath has the kernel kill every process in the process group of
// this one when this one dies, however that comes about: what a job has started
// must not outlive its daemon. A parent-death signal would not do, it comes at
// the death of a thread (prctl(2), PR_SET_PDEATHSIG), and jobs are not ours to
// set it for. The group must be of this process alone. The function that is
// returned takes it back, for an end in good order.
//
// It is done with a pair of sockets that nobody else has. When a process dies,
// its descriptors are closed one after the other, and as the first of the pair
// is, the other is still there to send its owner, the group, a signal (see
// fcntl(2), F_SETOWN and F_SETSIG).
func KillGroupAtDeath() (release func(), err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("kill jobs with the daemon: %w", err)
	}
	// Whichever is closed first, the other one tells.
	for _, end := range ends {
		for _, set := range []struct{ command, value int }{
			{unix.F_SETOWN, -unix.Getpgrp()},
			{unix.F_SETSIG, int(unix.SIGKILL)},
			{unix.F_SETFL, unix.O_ASYNC | unix.O_NONBLOCK},
		} {
			if _, err := unix.FcntlInt(uintptr(end), set.command, set.value); err != nil {
				return nil, fmt.Errorf("kill jobs with the daemon: %w", err)
			}
		}
	}
	return func() {
		for _, end := range ends {
			_, _ = unix.FcntlInt(uintptr(end), unix.F_SETFL, unix.O_NONBLOCK)
		}
	}, nil
}

// OwnsGroup reports whether the process group of this process is its own: it was
// made for the daemon, and nobody else is in it.
func (h *Handover) OwnsGroup() bool {
	return h.Stage == Detached || h.Upgraded || unix.Getpgrp() == os.Getpid() && sessionOf(os.Getpid()) == os.Getpid()
}

func sessionOf(pid int) int {
	session, err := unix.Getsid(pid)
	if err != nil {
		return -1
	}
	return session
}

// Reap waits for the children that are not this process's own: what a job has
// left behind becomes a child of PID 1, or of a subreaper (prctl(2)), and would
// stay a zombie for ever. A process that this one has started is left to who has
// started it, and recognized by the pidfd that package os keeps until then.
func Reap() {
	if !reaps() {
		return
	}
	own := ownChildren()
	for _, k := range allKin() {
		if k.ended && k.parent == os.Getpid() && !own[k.pid] {
			var status unix.WaitStatus
			_, _ = unix.Wait4(k.pid, &status, unix.WNOHANG, nil)
		}
	}
}

// reaps reports whether orphans become children of this process.
func reaps() bool {
	if os.Getpid() == 1 {
		return true
	}
	var subreaper int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0)
	return err == nil && subreaper != 0
}

// ownChildren are the pids of which this process holds a pidfd.
func ownChildren() map[int]bool {
	own := make(map[int]bool)
	infos, _ := filepath.Glob("/proc/self/fdinfo/*")
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "Pid:"); ok {
				if pid, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
					own[pid] = true
				}
			}
		}
	}
	return own
}
