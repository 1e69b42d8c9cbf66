package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// impose limits this process, or rather its present thread, which stays locked,
// and what it starts, to the rights: all but the user and the capabilities,
// which become gives.
func (r Rights) impose(user *Identity) error {
	runtime.LockOSThread()
	if err := r.limit(); err != nil {
		return err
	}
	if err := r.dropCapabilities(user); err != nil {
		return err
	}
	// Set-uid programs give nothing to those who can't gain rights.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return r.confine()
}

// limit sets the limits of resources. What only the super-user can have is as
// much as there is.
func (r Rights) limit() error {
	core := syscall.Rlimit{Cur: r.Core, Max: r.Core}
	if err := setLimit(unix.RLIMIT_CORE, core); err != nil {
		return fmt.Errorf("limit core files: %w", err)
	}
	if r.NoFile == 0 {
		return nil
	}
	// By package syscall, which else gives children the limit of the caller.
	if err := setLimit(syscall.RLIMIT_NOFILE, syscall.Rlimit{Cur: r.NoFile, Max: r.NoFile}); err != nil {
		return fmt.Errorf("limit open descriptors: %w", err)
	}
	return nil
}

func setLimit(resource int, to syscall.Rlimit) error {
	var present syscall.Rlimit
	if err := syscall.Getrlimit(resource, &present); err != nil {
		return err
	}
	if present == to {
		return nil // set by a supervisor, which may not let anybody set it
	}
	err := syscall.Setrlimit(resource, &to)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	to.Max = min(to.Max, present.Max)
	to.Cur = to.Max
	return syscall.Setrlimit(resource, &to)
}

// dropCapabilities takes the capabilities that are not listed out of reach.
func (r Rights) dropCapabilities(user *Identity) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("drop ambient capabilities: %w", err)
	}
	if user == nil && os.Geteuid() == 0 && len(r.Capabilities) == 0 {
		return nil // who stays root, and keeps what that means
	}
	for number := range 64 {
		if slices.Contains(r.Capabilities, number) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(number), 0, 0, 0)
		switch {
		case errors.Is(err, unix.EINVAL):
			return nil // there are no more
		case errors.Is(err, unix.EPERM):
			return nil // without the right to; no_new_privs bars the way to them too
		case err != nil:
			return fmt.Errorf("drop capability %d: %w", number, err)
		}
	}
	return nil
}

// keepCapabilities has a process that is started keep those that are listed.
func (r Rights) keepCapabilities(sys *syscall.SysProcAttr) {
	for _, number := range r.Capabilities {
		sys.AmbientCaps = append(sys.AmbientCaps, uintptr(number))
	}
}

// become gives this thread, and so the program that it executes, the user and
// the capabilities.
func (r Rights) become(user *Identity) error {
	if len(r.Capabilities) > 0 {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("keep capabilities: %w", err)
		}
	}
	if user != nil {
		if err := user.become(); err != nil {
			return err
		}
	}
	if len(r.Capabilities) == 0 {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for _, number := range r.Capabilities {
		sets[number/32].Inheritable |= 1 << (number % 32)
	}
	if err := unix.Capset(&header, &sets[0]); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	for _, number := range r.Capabilities {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(number), 0, 0); err != nil {
			return fmt.Errorf("keep %s: %w", CapabilityName(number), err)
		}
	}
	return nil
}

// confine has the kernel refuse to write outside of the writable directories,
// by Landlock (landlock(7)).
func (r Rights) confine() error {
	if len(r.Writable) == 0 {
		return nil
	}
	// What is asked for is not left out in silence, as the library would.
	version, _, _ := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if int(version) < 1 {
		return errors.New("daemon.sandbox: this kernel has no Landlock, which came with Linux 5.13 and can be switched off")
	}
	err := landlock.V5.BestEffort().RestrictPaths(
		landlock.RODirs("/"),
		landlock.RWDirs(r.Writable...).WithRefer(),
		landlock.RWFiles(os.DevNull).WithIoctlDev(),
	)
	if err != nil {
		return fmt.Errorf("daemon.sandbox: %w", err)
	}
	return nil
}

// Missing returns those of the capabilities that this process does not have to
// give.
func (r Rights) Missing() []int {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return r.Capabilities
	}
	var missing []int
	for _, number := range r.Capabilities {
		if sets[number/32].Permitted&(1<<(number%32)) == 0 {
			missing = append(missing, number)
		}
	}
	return missing
}

// Verify makes sure that every thread of this process, the daemon, has the user
// and the rights that h says, and no others: an error in giving up rights must
// not go unseen.
func (h *Handover) Verify() error {
	threads, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		status, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return fmt.Errorf("verify the rights of the daemon: %w", err)
		}
		if err := h.verifyThread(status); err != nil {
			return fmt.Errorf("the daemon does not have the rights that it should: %w: %w", err, os.ErrPermission)
		}
	}
	return nil
}

func (h *Handover) verifyThread(status []byte) error {
	want := map[string]string{"NoNewPrivs": "1"}
	if user := h.User; user != nil {
		four := func(id int) string { return strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+"\t", 4)) }
		want["Uid"], want["Gid"] = four(user.UID), four(user.GID)
		want["Groups"] = groupList(user.Groups)
	}
	if os.Geteuid() != 0 || len(h.Rights.Capabilities) > 0 {
		var set uint64
		for _, number := range h.Rights.Capabilities {
			set |= 1 << number
		}
		for _, name := range []string{"CapPrm", "CapEff", "CapAmb"} {
			want[name] = fmt.Sprintf("%016x", set)
		}
	}
	for line := range bytes.Lines(status) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		value = strings.TrimSpace(value)
		if wanted, ok := want[name]; ok && value != wanted {
			return fmt.Errorf("%s is %q instead of %q", name, value, wanted)
		}
	}
	return nil
}

// groupList is a set of groups as in /proc/PID/status.
func groupList(groups []uint32) string {
	sorted := slices.Clone(groups)
	slices.Sort(sorted)
	text := make([]string, len(sorted))
	for i, group := range sorted {
		text[i] = strconv.FormatUint(uint64(group), 10)
	}
	return strings.Join(text, " ")
}
