package lifecycle

import (
	"fmt"
	"syscall"
)

func (d *driver) checkHangUp() {
	before := d.generation()
	d.set("worker", "count", "4")
	d.signal(d.pid, syscall.SIGHUP)
	d.eventually("the configuration is a new one", func() bool { return d.generation() == before+1 })
	d.want(0, `\b4 workers\b`, "status")
	d.serves(d.pid)
}

func (d *driver) checkHangUpBroken() {
	before := d.generation()
	d.configure(threeProblems)
	d.signal(d.pid, syscall.SIGHUP)
	d.eventually("status tells of the failed reload", func() bool {
		status, _ := d.answer(d.want(0, "", "--json", "status"))["status"].(map[string]any)
		return status["last_reload_error"] != nil
	})
	d.configure(d.config)
	if after := d.generation(); after != before {
		d.failf("generation %d before and %d after; nothing was to change", before, after)
	}
	d.serves(d.pid)
	d.want(0, "", "reload")
}

func (d *driver) checkUserSignal() {
	logs := d.rotate()
	d.signal(d.pid, syscall.SIGUSR1)
	d.eventually("the log is there again", func() bool { return missing(logs) == "" })
	d.serves(d.pid)
}

func (d *driver) checkIgnored() {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGTSTP} {
		d.signal(d.pid, s)
		// It has the signal by the time that it does something.
		d.want(0, "", "reload")
		d.serves(d.pid)
	}
}

func (d *driver) checkTerminate() {
	pid := d.pid
	d.signal(pid, syscall.SIGTERM)
	d.gone(pid)
	if text := readText(d.runFile("pid")); text != "" {
		d.failf("the pidfile is %q, want it empty", text)
	}
	d.statusTurns(3)
	d.nothingRuns()
}

// statusTurns waits until status exits with the code: the kernel takes back what
// a process with many threads held, the lock among it, a moment after its death.
func (d *driver) statusTurns(code int) {
	d.eventually(fmt.Sprintf("status exits %d", code), func() bool { return d.call("status").code == code })
}

func (d *driver) checkSuspended() {
	d.signal(d.pid, syscall.SIGSTOP)
	o := d.want(0, `: stopped `, "stop")
	if o.stderr != "" {
		d.failf("want it to end by itself; %s", o)
	}
	d.down()
}

func (d *driver) checkKilled() {
	d.signal(d.pid, syscall.SIGKILL)
	d.gone(d.pid)
	d.statusTurns(1)
	d.want(0, `: not running\n$`, "stop")
	d.start()
	d.serves(d.pid)
}
