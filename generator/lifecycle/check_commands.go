package lifecycle

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

func (d *driver) checkStart() {
	d.start()
	// At once: whoever waits for start may rely on all of it.
	if text := readText(d.runFile("pid")); text != fmt.Sprintf("%d\n", d.pid) {
		d.failf("the pidfile is %q, want the pid %d", text, d.pid)
	}
	for _, port := range d.ports {
		conn, err := net.Dial("tcp", loopback(port))
		d.must(err)
		_ = conn.Close()
	}
	d.serves(d.pid)
}

// loopback is the address of a port.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (d *driver) checkStartAgain() {
	d.want(0, fmt.Sprintf(`: already running \(pid %d\)\n$`, d.pid), "start")
	d.serves(d.pid)
}

func (d *driver) checkParallelStarts() {
	outcomes := make([]outcome, 8)
	var starts sync.WaitGroup
	for i := range outcomes {
		starts.Go(func() { outcomes[i] = d.call("start") })
	}
	starts.Wait()
	fresh := 0
	for _, o := range outcomes {
		d.expect(o, 0, `: (started|already running) \(pid \d+\)\n$`)
		if strings.Contains(o.stdout, ": started") {
			fresh++
		}
		if pid := d.pidIn(o); d.pid != 0 && pid != d.pid {
			d.failf("two daemons: pid %d and pid %d", d.pid, pid)
		} else {
			d.pid = pid
		}
	}
	if fresh != 1 {
		d.failf("%d of %d starts say that they started it, want 1", fresh, len(outcomes))
	}
}

func (d *driver) checkStatus() {
	d.want(3, "", "status")
	d.want(3, "", "status", "--ready")
	d.start()
	d.want(0, fmt.Sprintf(`^%s: .*\(pid %d\).*\n$`, regexp.QuoteMeta(d.project.name), d.pid), "status")
	d.serves(d.pid)
}

func (d *driver) checkStatusJSON() {
	o := d.want(0, "", "--json", "status")
	object := d.answer(o)
	for key, want := range map[string]string{
		"name": d.project.name, "command": "status", "pid": strconv.Itoa(d.pid), "state": "ready",
	} {
		if got := fmt.Sprint(object[key]); got != want {
			d.failf("%s is %s, want %s; %s", key, got, want, o)
		}
	}
	for _, key := range []string{"result", "version", "generation"} {
		if object[key] == nil || object[key] == "" {
			d.failf("there is no %s; %s", key, o)
		}
	}
}

func (d *driver) checkStatusLooks() {
	before := d.runDirectory()
	d.want(0, "", "status")
	d.want(0, "", "status", "--json")
	if after := d.runDirectory(); after != before {
		d.failf("the run directory was\n%s\nand is now\n%s", before, after)
	}
}

// runDirectory tells all that can be seen of the run directory.
func (d *driver) runDirectory() string {
	entries, err := os.ReadDir(d.path("run"))
	d.must(err)
	var lines []string
	for _, entry := range entries {
		info, err := entry.Info()
		d.must(err)
		lines = append(lines, fmt.Sprintf("%s %s %d %s", info.Mode(), info.ModTime(), info.Size(), info.Name()))
	}
	return strings.Join(lines, "\n")
}

func (d *driver) checkStop() {
	d.want(0, fmt.Sprintf(`: stopped \(pid %d\)\n$`, d.pid), "stop")
	if alive(d.pid) {
		d.failf("process %d runs on", d.pid)
	}
	d.nothingRuns()
	for _, port := range d.ports {
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			d.failf("its port is not free: %v", err)
		}
		_ = listener.Close()
	}
	d.down()
}

func (d *driver) checkStopAgain() {
	d.want(0, `: not running\n$`, "stop")
	d.want(0, `: not running\n$`, "stop")
	d.down()
}

func (d *driver) checkRestart() {
	before := d.pid
	d.pid = d.pidIn(d.want(0, d.started(), "restart"))
	if d.pid == before || alive(before) {
		d.failf("pid %d before and %d after; want another, and the first gone", before, d.pid)
	}
	d.serves(d.pid)
}

func (d *driver) checkRestartBroken() {
	d.configure(threeProblems)
	d.want(6, problemPattern, "restart")
	d.configure(d.config)
	d.serves(d.pid)
}

func (d *driver) checkTryRestart() {
	d.want(0, "", "try-restart")
	d.down()
	d.start()
	before := d.pid
	d.want(0, "", "try-restart")
	d.pid = d.pidIn(d.want(0, "", "status", "--ready"))
	if d.pid == before || alive(before) {
		d.failf("pid %d before and %d after; want another, and the first gone", before, d.pid)
	}
}

func (d *driver) checkReload() {
	before := d.generation()
	d.set("worker", "count", "3")
	d.want(0, fmt.Sprintf(`: reloaded \(pid %d, generation %d\)\n$`, d.pid, before+1), "reload")
	d.want(0, `\b3 workers\b`, "status")
	d.serves(d.pid)
}

func (d *driver) checkReloadStopped() {
	d.want(7, `: reload: not running`, "reload")
	o := d.call("--json", "reload")
	if o.code != 7 || d.answer(o)["error"] == nil {
		d.failf("want exit 7 and the error in JSON; %s", o)
	}
	d.down()
}

func (d *driver) checkReloadBroken() {
	before := d.generation()
	for _, text := range []string{threeProblems, "= = =\n"} {
		d.configure(text)
		d.want(6, `:\d+:\d+: `, "reload")
		d.serves(d.pid)
	}
	d.configure(d.config)
	if after := d.generation(); after != before {
		d.failf("generation %d before and %d after; nothing was to change", before, after)
	}
}

// otherUmask is one that is not configured.
func (d *driver) otherUmask() string {
	if d.project.facts().Daemon.Umask == "0077" {
		return `"0027"`
	}
	return `"0077"`
}

func (d *driver) checkReloadRestart() {
	before := d.generation()
	d.set("daemon", "umask", d.otherUmask())
	d.want(152, `daemon\.umask`, "reload")
	if after := d.generation(); after != before {
		d.failf("generation %d before and %d after; nothing was to change", before, after)
	}
	d.serves(d.pid)
}

func (d *driver) checkForceReload() {
	before := d.generation()
	d.set("worker", "count", "5")
	d.want(0, "", "force-reload")
	if after := d.generation(); after != before+1 {
		d.failf("generation %d before and %d after, want one more", before, after)
	}
	d.serves(d.pid)
	old := d.pid
	d.set("daemon", "umask", d.otherUmask())
	d.want(0, "", "force-reload")
	d.pid = d.pidIn(d.want(0, "", "status", "--ready"))
	d.dirty = true // it runs with another umask
	if d.pid == old || alive(old) {
		d.failf("pid %d before and %d after; want another, and the first gone", old, d.pid)
	}
}

// logs are the files that it logs to.
func (d *driver) logs() []string {
	files, err := filepath.Glob(d.path("log/*.log"))
	d.must(err)
	if len(files) == 0 {
		d.skipf("it logs to no file")
	}
	return files
}

// rotate moves the logs away, as logrotate would.
func (d *driver) rotate() []string {
	logs := d.logs()
	for _, file := range logs {
		d.must(os.Rename(file, file+".1"))
	}
	return logs
}

// missing is the first of the files that is not there, or "".
func missing(files []string) string {
	i := slices.IndexFunc(files, func(file string) bool { _, err := os.Stat(file); return err != nil })
	if i < 0 {
		return ""
	}
	return files[i]
}

func (d *driver) checkReopen() {
	logs := d.rotate()
	o := d.want(0, "", "reopen")
	if gone := missing(logs); gone != "" {
		d.failf("there is no new %s; %s", filepath.Base(gone), o)
	}
	d.serves(d.pid)
	d.want(0, "", "stop")
	d.want(7, "", "reopen")
}

func (d *driver) checkUpgrade() {
	old := d.pid
	o := d.want(0, fmt.Sprintf(`: upgraded \(pid %d -> \d+\)\n$`, old), "upgrade")
	match := regexp.MustCompile(`-> (\d+)\)`).FindStringSubmatch(o.stdout)
	pid, err := strconv.Atoi(match[1])
	d.must(err)
	d.pid = pid
	if pid == old {
		d.failf("the pid is still %d; %s", pid, o)
	}
	d.serves(pid)
	if text := readText(d.runFile("pid")); text != fmt.Sprintf("%d\n", pid) {
		d.failf("the pidfile is %q, want the new pid %d", text, pid)
	}
	d.gone(old)
	d.serves(pid)
	d.want(0, fmt.Sprintf(`: stopped \(pid %d\)\n$`, pid), "stop")
	d.down()
}

func (d *driver) checkUpgradeBroken() {
	program, err := exec.LookPath("false")
	if err != nil {
		d.skipf("there is no program false")
	}
	for _, broken := range []string{program, d.path("bin/nosuch")} {
		o := d.call("upgrade", "--binary", broken)
		if o.code <= 0 || o.code == 2 || o.stderr == "" {
			d.failf("want a failure with its cause; %s", o)
		}
		d.serves(d.pid)
	}
}

func (d *driver) checkDump() {
	o := d.want(0, regexp.QuoteMeta(d.path("run")), "dump")
	_, name, _ := strings.Cut(strings.TrimSpace(o.stdout), d.path("run"))
	file := d.path("run") + strings.TrimRight(name, ".)\"'")
	if text := readText(file); !strings.Contains(text, "goroutine ") {
		d.failf("no stack in %s: %.200s", file, text)
	}
	d.must(os.Remove(file))
	d.serves(d.pid)
}

// threeProblems is a configuration with three things wrong, of which the pattern
// is the first.
const (
	threeProblems  = "[worker]\ncount = -1\nnosuch = 1\n[log]\nlevel = \"loud\"\n"
	problemPattern = `:2:\d+: worker\.count: `
)

func (d *driver) checkCheck() {
	d.must(os.RemoveAll(d.path("run")))
	d.want(0, "", "check")
	d.configure(threeProblems)
	for _, pattern := range []string{problemPattern, `:3:\d+: worker\.nosuch: `, `:5:\d+: log\.level: `} {
		d.want(6, regexp.QuoteMeta(d.configFile())+pattern, "check")
	}
	d.must(os.Remove(d.configFile()))
	d.want(6, regexp.QuoteMeta(d.configFile()), "check")
	if _, err := os.Lstat(d.path("run")); err == nil {
		d.failf("check has made the run directory")
	}
}

func (d *driver) checkFlags() {
	config, run := d.path("other.toml"), d.path("other")
	d.must(os.WriteFile(config, []byte(withKey(d.config, "worker", "count", "7")), 0o644))
	d.configure(threeProblems)
	d.atEnd(func() {
		d.call("--config", config, "--run-dir", run, "stop")
		_ = os.RemoveAll(run)
		_ = os.Remove(config)
	})
	d.pid = d.pidIn(d.want(0, d.started(), "--config", config, "--run-dir", run, "start"))
	d.want(0, `\b7 workers\b`, "status", "--config", config, "--run-dir", run)
	d.configure(d.config)
	d.want(3, "", "status")
}

func (d *driver) checkQuiet() {
	if o := d.want(0, "", "--quiet", "stop"); o.stdout+o.stderr != "" {
		d.failf("want no output; %s", o)
	}
}

func (d *driver) checkHelp() {
	for _, args := range [][]string{{"version"}, {"help"}, {"help", "start"}, {"--help"}} {
		if o := d.want(0, `.`, args...); o.stderr != "" {
			d.failf("want nothing on stderr; %s", o)
		}
	}
}

func (d *driver) checkUsage() {
	for _, args := range [][]string{{}, {"nosuch"}, {"start", "stop"}, {"start", "--nosuch"}, {"help", "nosuch"}} {
		if o := d.want(2, `usage`, args...); o.stdout != "" {
			d.failf("want nothing on stdout; %s", o)
		}
	}
}
