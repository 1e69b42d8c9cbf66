package lifecycle

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// needsProc skips a check where there is nothing like it.
func (d *driver) needsProc() {
	if !onLinux {
		d.skipf("only Linux shows it, in /proc")
	}
}

// proc is a path in /proc/PID of the daemon.
func (d *driver) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", d.pid, name) }

// procText is a file of /proc/PID of the daemon.
func (d *driver) procText(name string) string {
	text, err := os.ReadFile(d.proc(name))
	d.lookedUp(err)
	return string(text)
}

// status are the lines of /proc/PID/status or that of a thread, by their names.
func (d *driver) status(name string) map[string]string { return statusLines(d.procText(name)) }

func statusLines(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		values[key] = strings.TrimSpace(value)
	}
	return values
}

// startAs starts the daemon by a call that was prepared.
func (d *driver) startAs(prepare func(*exec.Cmd)) {
	d.pid = d.pidIn(d.expect(d.calling(prepare, "start"), 0, d.started()))
}

func (d *driver) checkSession() {
	d.needsProc()
	fields := statOf(d.pid)
	if len(fields) < 5 {
		d.failf("there is no process %d", d.pid)
	}
	parent, session, terminal := fields[1], fields[3], fields[4]
	switch {
	case parent == strconv.Itoa(os.Getpid()):
		d.failf("it is still a child of this program")
	case session == strconv.Itoa(d.pid):
		d.failf("it leads its session, and could get a terminal")
	case session == statOf(os.Getpid())[3]:
		d.failf("it is in the session of its starter")
	case terminal != "0":
		d.failf("it has terminal %s", terminal)
	}
}

func (d *driver) checkSurroundings() {
	d.needsProc()
	for _, callers := range []string{"000", "077"} {
		d.startAs(withUmask(callers))
		folder, err := os.Readlink(d.proc("cwd"))
		d.lookedUp(err)
		if folder != "/" {
			d.failf("its folder is %s, want /", folder)
		}
		want := d.project.facts().Daemon.Umask
		if got := d.status("status")["Umask"]; octal(got) != octal(want) {
			d.failf("started under umask %s its own is %s, want %s", callers, got, want)
		}
		d.want(0, "", "stop")
	}
}

// octal reads a umask; what is none is -1.
func octal(text string) int64 {
	n, err := strconv.ParseInt(text, 8, 32)
	if err != nil {
		return -1
	}
	return n
}

func (d *driver) checkDescriptors() {
	d.needsProc()
	secret, err := os.Create(d.path("secret"))
	d.must(err)
	defer func() { _ = secret.Close() }()
	read, write, err := os.Pipe()
	d.must(err)
	defer func() { _ = read.Close(); _ = write.Close() }()
	pipe, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", write.Fd()))
	d.must(err)
	d.startAs(func(cmd *exec.Cmd) {
		cmd.ExtraFiles = slices.Concat(slices.Repeat([]*os.File{secret}, 7), []*os.File{write})
	})
	entries, err := os.ReadDir(d.proc("fd"))
	d.lookedUp(err)
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(d.proc("fd"), entry.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // closed meanwhile
		}
		d.lookedUp(err)
		number, _ := strconv.Atoi(entry.Name())
		inherited := target == secret.Name() || target == pipe
		standard := number > 2 || target == os.DevNull || filepath.Dir(target) == d.path("log")
		if inherited || !standard {
			d.failf("its descriptor %d is %s", number, target)
		}
	}
}

func (d *driver) checkSignalMasks() {
	d.needsProc()
	// What is ignored stays so in programs that a program executes.
	d.startAs(underShell(`trap '' HUP QUIT TERM USR1 USR2 CHLD && exec "$@"`))
	// A single thread may block some, as one of Go's runtime does.
	threads, err := filepath.Glob(d.proc("task/*"))
	d.must(err)
	blocked := ^uint64(0)
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(thread, "status"))
		if err != nil {
			continue // it has ended meanwhile
		}
		mask, err := strconv.ParseUint(statusLines(string(text))["SigBlk"], 16, 64)
		d.must(err)
		blocked &= mask
	}
	if blocked != 0 {
		d.failf("it blocks signals: SigBlk %016x", blocked)
	}
	status := d.status("status")
	ignored, err := strconv.ParseUint(status["SigIgn"], 16, 64)
	d.must(err)
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCHLD} {
		if ignored&(1<<(s-1)) != 0 {
			d.failf("it ignores signal %d, as its starter did: SigIgn %s", s, status["SigIgn"])
		}
	}
	d.want(0, "", "stop")
}

func (d *driver) checkLimits() {
	d.needsProc()
	if got := d.status("status")["NoNewPrivs"]; got != "1" {
		d.failf("NoNewPrivs is %s, want 1", cmp.Or(got, "missing"))
	}
	for line := range strings.Lines(d.procText("limits")) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Fields(rest)[0] != "0" {
			d.failf("the limit of core files is %s, want 0", strings.Fields(rest)[0])
		}
	}
}

// user is whom the daemon becomes when root starts it.
func (d *driver) user() (uid, gid int, err error) {
	settings := d.project.facts().Daemon
	entry, err := user.Lookup(settings.User)
	if err != nil {
		if entry, err = user.LookupId(settings.User); err != nil {
			return 0, 0, err
		}
	}
	group := entry.Gid
	if settings.Group != "" {
		group = settings.Group
		if named, err := user.LookupGroup(settings.Group); err == nil {
			group = named.Gid
		}
	}
	uid, err = strconv.Atoi(entry.Uid)
	if err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(group)
	return uid, gid, err
}

// groupsOf are the groups of a user, as in the group database.
func groupsOf(uid int) []string {
	entry, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil
	}
	groups, err := entry.GroupIds()
	if err != nil {
		return nil
	}
	return groups
}

func (d *driver) checkRights() {
	d.needsProc()
	settings := d.project.facts().Daemon
	switch {
	case os.Geteuid() != 0:
		d.skipf("only root's daemon becomes another user")
	case settings.User == "root":
		d.skipf("it is configured to stay root")
	}
	uid, gid, err := d.user()
	if err != nil {
		d.skipf("%v", err)
	}
	d.startAs(func(cmd *exec.Cmd) { // with groups that it must not keep
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 4, 27}}}
	})
	threads, err := os.ReadDir(d.proc("task"))
	d.lookedUp(err)
	for _, thread := range threads {
		status := d.status("task/" + thread.Name() + "/status")
		for key, id := range map[string]int{"Uid": uid, "Gid": gid} {
			if want := strings.Fields(strings.Repeat(strconv.Itoa(id)+" ", 4)); !slices.Equal(strings.Fields(status[key]), want) {
				d.failf("thread %s: %s is %s, want %d", thread.Name(), key, status[key], id)
			}
		}
		for group := range strings.FieldsSeq(status["Groups"]) {
			if group != strconv.Itoa(gid) && !slices.Contains(groupsOf(uid), group) {
				d.failf("thread %s: it is in group %s", thread.Name(), group)
			}
		}
		for _, key := range []string{"CapPrm", "CapEff", "CapAmb"} {
			if len(settings.Capabilities) == 0 && strings.Trim(status[key], "0") != "" {
				d.failf("thread %s: %s is %s, want 0", thread.Name(), key, status[key])
			}
		}
	}
}

func (d *driver) checkEnvironment() {
	d.needsProc()
	const secret = "a-secret-of-the-starter"
	names := []string{"AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "LD_LIBRARY_PATH", "BASH_ENV", "DAEMONGEN_TOKEN"}
	d.startAs(func(cmd *exec.Cmd) {
		for _, name := range names {
			cmd.Env = append(cmd.Env, name+"=/"+secret)
		}
	})
	for variable := range strings.SplitSeq(d.procText("environ"), "\x00") {
		if name, value, _ := strings.Cut(variable, "="); slices.Contains(names, name) || strings.Contains(value, secret) {
			d.failf("it has %s", name)
		}
	}
	if strings.Contains(d.procText("cmdline"), secret) {
		d.failf("a secret is in its command line")
	}
}
