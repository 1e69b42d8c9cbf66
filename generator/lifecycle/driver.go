package lifecycle

// The driver: it calls the commands of one daemon, looks at it from outside, and
// brings it into a known state before each check.
//
// A check reads like what a person would type. What does not hold ends it on
// the spot, by a panic that only try recovers: with some fifty checks of a few
// calls each the promises would not be seen for the errors.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// state is what a check needs the daemon to be in.
type state int

const (
	idle    state = iota // stopped, and the check starts none
	stopped              // the check starts it
	running
)

// driver drives one daemon in a private folder.
type driver struct {
	project *project
	dir     string // private
	program string
	config  string // the configuration that every check begins with
	ports   []int  // of TCP, that the daemon listens on
	env     []string
	ran     func(line string)
	limit   time.Duration // of a call

	ctx     context.Context // of the check under way
	pid     int             // of the daemon that was started last
	dirty   bool            // the check leaves a state that must not be built on
	endings []func()        // what the check has to end
	begun   bool            // it could be started once
	broken  bool            // it never could, as a row has said
	hung    atomic.Int32    // calls that did not end in time
}

// newDriver returns a driver for a project whose program is in bin.
func newDriver(p *project, dir string, ran func(string)) (*driver, error) {
	d := &driver{project: p, dir: dir, program: filepath.Join(dir, "bin", p.name), ran: ran, limit: callLimit}
	if err := d.makeFiles(); err != nil {
		return nil, err
	}
	var err error
	if d.config, d.ports, err = p.private(d.path("files")); err != nil {
		return nil, &EnvironmentError{err, "verify needs the loopback interface"}
	}
	// What the service needs from its environment it gets, such as the password
	// of a database, but nothing that would lead it to another one's files.
	prefix := p.prefix()
	d.env = append(without(os.Environ(), func(name string) bool {
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
			"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY":
			return true
		}
		key, ours := strings.CutPrefix(name, prefix)
		return ours && (key == "CONFIG" || strings.HasPrefix(key, "DAEMON_") || strings.HasPrefix(key, "LOG_") ||
			strings.HasPrefix(key, "WORKER_") || strings.HasSuffix(key, "_LISTEN") || strings.HasSuffix(key, "_PATH"))
	}),
		prefix+"CONFIG="+d.configFile(),
		prefix+"DAEMON_RUN_DIR="+d.path("run"),
		prefix+"DAEMON_STATE_DIR="+d.path("state"),
		"LOGS_DIRECTORY="+d.path("log"),
		"TMPDIR="+d.path("tmp"),
		// A build with the race detector would sleep for a second at each end.
		"GORACE=atexit_sleep_ms=0")
	return d, nil
}

// makeFiles makes the folder for the files of the configuration, which belongs
// to the user that the daemon becomes.
func (d *driver) makeFiles() error {
	if err := makeDir(d.path("files"), 0o755); err != nil {
		return err
	}
	// If there is no such user the daemon will say so.
	if uid, gid, err := d.user(); err == nil && os.Geteuid() == 0 {
		return os.Chown(d.path("files"), uid, gid)
	}
	return nil
}

// path is a path in the private folder.
func (d *driver) path(name string) string { return filepath.Join(d.dir, name) }

func (d *driver) configFile() string { return d.path(d.project.name + ".toml") }

// runFile is NAME.EXTENSION in the run directory.
func (d *driver) runFile(extension string) string {
	return filepath.Join(d.path("run"), d.project.name+"."+extension)
}

// failure is what a check panics with when a promise is not kept.
type failure struct{ cause string }

// skip is what a check panics with when it can't be made here.
type skip struct{ reason string }

func (d *driver) failf(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }
func (d *driver) skipf(format string, args ...any) { panic(skip{fmt.Sprintf(format, args...)}) }

// must fails the check on an error.
func (d *driver) must(err error) {
	if err != nil {
		d.failf("%v", err)
	}
}

// lookedUp fails the check on an error in looking at a process, and skips it if
// the system does not let us look.
func (d *driver) lookedUp(err error) {
	if errors.Is(err, fs.ErrPermission) {
		d.skipf("the system does not show it to this user: %v", err)
	}
	d.must(err)
}

// checkLimit bounds a check, callLimit a call of a command: it is above the time
// after which the daemon's own commands give up. After hungLimit calls that did
// not end in time no more are made.
const (
	checkLimit = 3 * time.Minute
	callLimit  = 45 * time.Second
	hungLimit  = 2
)

// try makes a check, from the state that it needs. What it has left running is
// ended, and after a failure everything.
func (d *driver) try(ctx context.Context, c check) (result Result, cause string) {
	if d.broken && c.needs != idle {
		return Skipped, "the daemon can't be started, see above"
	}
	if d.hung.Load() >= hungLimit {
		return Skipped, "its commands do not end, see above"
	}
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	d.ctx = limited
	defer func() {
		switch reason := recover().(type) {
		case nil:
			result = Held
		case skip:
			result, cause = Skipped, reason.reason
		case failure:
			result, cause, d.dirty = Failed, excerpt(reason.cause), true
		default:
			panic(reason)
		}
		for i := len(d.endings) - 1; i >= 0; i-- {
			d.endings[i]()
		}
		d.endings = nil
		if ctx.Err() != nil {
			d.end()
		}
	}()
	d.bring(c.needs)
	c.run(d)
	return Held, ""
}

// bring makes a known state: the daemon running, or not, from the configuration
// of the project.
func (d *driver) bring(s state) {
	d.configure(d.config)
	if d.dirty || s != running {
		d.reset()
	}
	if s == running && (!alive(d.pid) || d.call("status", "--ready").code != 0) {
		d.reset()
		d.start()
	}
}

// reset ends the daemon, and after a failure takes away what it has left in the
// run directory.
func (d *driver) reset() {
	d.end()
	if d.dirty {
		d.must(os.RemoveAll(d.path("run")))
	}
	d.dirty = false
}

// end ends the daemon, as its administrator would, else by force.
func (d *driver) end() {
	if alive(d.pid) || len(below(d.path("bin"))) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), d.limit)
		d.dirty = d.callWith(ctx, d.command(ctx, "stop", "--timeout", "5s")).code != 0 || d.dirty
		cancel()
	}
	if alive(d.pid) || len(below(d.path("bin"))) > 0 {
		d.dirty = true
		_ = signalBelow(d.pid, d.path("bin"), syscall.SIGKILL) // where its program is not known
		endBelow(d.path("bin"))
	}
	d.pid = 0
}

// configure writes the configuration.
func (d *driver) configure(text string) {
	d.must(os.WriteFile(d.configFile(), []byte(text), 0o644))
}

// set changes one key of the configuration.
func (d *driver) set(section, key, value string) {
	d.configure(withKey(readText(d.configFile()), section, key, value))
}

// command is a call of the daemon's program.
func (d *driver) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Env, cmd.Dir = d.env, d.dir
	return cmd
}

// line is a call as a person would type it.
func (d *driver) line(args ...string) string {
	return strings.Join(append([]string{d.project.name}, args...), " ")
}

// callWith makes a call and tells of it.
func (d *driver) callWith(ctx context.Context, cmd *exec.Cmd) outcome {
	args := cmd.Args
	for i, arg := range args {
		if arg == d.program { // behind a shell that prepares the call
			args = args[i+1:]
			break
		}
	}
	o := execute(ctx, d.line(args...), cmd)
	d.ran(o.said())
	if errors.Is(o.err, errHung) {
		d.hung.Add(1)
	}
	return o
}

// calling makes a call with an own limit of time.
func (d *driver) calling(prepare func(*exec.Cmd), args ...string) outcome {
	ctx, cancel := context.WithTimeout(d.ctx, d.limit)
	defer cancel()
	cmd := d.command(ctx, args...)
	if prepare != nil {
		prepare(cmd)
	}
	return d.callWith(ctx, cmd)
}

// call makes a call and returns what it did.
func (d *driver) call(args ...string) outcome { return d.calling(nil, args...) }

// want makes a call, which must exit with the code and print a match of the
// pattern: on stdout if the code is 0, else on stderr.
func (d *driver) want(code int, pattern string, args ...string) outcome {
	return d.expect(d.call(args...), code, pattern)
}

// expect fails the check unless the call has exited with the code and printed a
// match of the pattern.
func (d *driver) expect(o outcome, code int, pattern string) outcome {
	if o.code != code {
		d.failf("want exit %d: %s", code, o)
	}
	text, stream := o.stdout, "stdout"
	if code != 0 {
		text, stream = o.stderr, "stderr"
	}
	if !regexp.MustCompile(pattern).MatchString(text) {
		d.failf("want a match of %s on %s; %s", pattern, stream, o)
	}
	return o
}

var pidText = regexp.MustCompile(`\(pid (\d+)`)

// pidIn is the pid that a call has printed.
func (d *driver) pidIn(o outcome) int {
	match := pidText.FindStringSubmatch(o.stdout)
	if match == nil {
		d.failf("want a pid; %s", o)
	}
	pid, err := strconv.Atoi(match[1])
	d.must(err)
	return pid
}

// started is the message of a start.
func (d *driver) started() string {
	return "^" + regexp.QuoteMeta(d.project.name) + `: started \(pid \d+\)\n$`
}

// start starts the daemon. If even the first try fails there are no others.
func (d *driver) start() {
	o := d.call("start")
	d.begun = d.begun || o.code == 0
	d.broken = !d.begun && d.ctx.Err() == nil
	d.pid = d.pidIn(d.expect(o, 0, d.started()))
}

// answer is the JSON of a command.
func (d *driver) answer(o outcome) map[string]any {
	var object map[string]any
	if err := json.Unmarshal([]byte(o.stdout), &object); err != nil {
		d.failf("want one JSON object on stdout: %v; %s", err, o)
	}
	return object
}

// generation is the number of the configuration that the daemon has.
func (d *driver) generation() int {
	o := d.want(0, "", "--json", "status")
	number, ok := d.answer(o)["generation"].(float64)
	if !ok {
		d.failf("want a generation; %s", o)
	}
	return int(number)
}

// serves fails the check unless status knows this daemon as ready.
func (d *driver) serves(pid int) {
	d.want(0, fmt.Sprintf(`\(pid %d\)`, pid), "status", "--ready")
}

// down fails the check unless the daemon is stopped, and nothing of it left.
func (d *driver) down() {
	d.want(3, "", "status")
	d.nothingRuns()
}

// nothingRuns fails the check if a process of the daemon runs.
func (d *driver) nothingRuns() {
	if left := below(d.path("bin")); len(left) > 0 {
		d.failf("process %d of the daemon runs on", left[0])
	}
}

// signal sends a signal to the daemon.
func (d *driver) signal(pid int, s syscall.Signal) {
	if err := signalBelow(pid, d.path("bin"), s); err != nil {
		d.failf("send %s to the daemon: %v", s, err)
	}
}

// gone waits until the process has ended.
func (d *driver) gone(pid int) {
	d.eventually(fmt.Sprintf("process %d has ended", pid), func() bool { return !alive(pid) })
}

// patience is how long something may take that no command waits for.
const patience = 20 * time.Second

// eventually polls until a condition holds.
func (d *driver) eventually(what string, condition func() bool) {
	for begin := time.Now(); time.Since(begin) < patience && d.ctx.Err() == nil; {
		if condition() {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	d.failf("not so after %s: %s", patience, what)
}

// atEnd has something ended when the check is over.
func (d *driver) atEnd(end func()) { d.endings = append(d.endings, end) }
