package main

// Pitfalls 31 to 36: a stop ends in time, and leaves nothing. Pitfall 37 needs
// namespaces.

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/feed/internal/nettest"
)

// Pitfall 31: stop returns when everything is gone, so that a start can follow,
// on the same port, after a job that was under way has ended.
func TestStopThenStart(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	address := nettest.FreeAddress(t)
	p.set("listen", `"`+address+`"`)
	for range rounds(5, 100) {
		pid := p.start()
		job, finish := p.untilTold()
		stop := p.background("stop")
		p.eventually("it drains", func() bool { return p.status().State == "draining" })
		finish()
		p.check(<-stop, 0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
		if answer := p.answer(job); answer != "done" {
			t.Fatalf("the answer of the job under way is %q", answer)
		}
		if alive(pid) {
			t.Fatal("the process is there after stop")
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("the port is not free after stop: %v", err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		p.wantDown()
	}
}

// Pitfall 32: the time that the caller gives is what a stop takes, at most and
// with a job that ends for nothing else also at least.
func TestStopTimeout(t *testing.T) {
	t.Parallel()
	timeouts := []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond}
	if rounds(0, 1) > 0 {
		timeouts = []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}
	}
	for _, timeout := range timeouts {
		t.Run(timeout.String(), func(t *testing.T) {
			t.Parallel()
			p := newProbe(t)
			pid := p.start()
			p.underWay("hang")
			begin := time.Now()
			o := p.want(0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop", "--timeout", timeout.String())
			took := time.Since(begin)
			if want := fmt.Sprintf("%s: stop: killed after %s, 1 jobs unfinished\n", name, timeout); o.stderr != want {
				t.Errorf("stop says %q, want %q", o.stderr, want)
			}
			// The daemon's own time to drain is an hour.
			if took < timeout || took > timeout+30*time.Second {
				t.Errorf("stop took %s with a timeout of %s", took, timeout)
			}
			if alive(pid) {
				t.Error("the process is there after stop")
			}
		})
	}
}

// Pitfall 32: the time is that of the caller, and not one for all: a stop that
// has an hour outlasts one that began later and has none.
func TestStopTimeoutIsTheCallers(t *testing.T) {
	t.Parallel()
	patient, impatient := newProbe(t), newProbe(t)
	pid := patient.start()
	impatient.start()
	patient.underWay("hang")
	impatient.underWay("hang")
	stop := patient.background("stop", "--timeout", "1h")
	patient.eventually("it drains", func() bool { return patient.status().State == "draining" })
	impatient.want(0, `: stopped`, "stop", "--timeout", "100ms")
	if !alive(pid) {
		t.Error("the daemon that had an hour to drain is gone")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil { // its second one
		t.Fatal(err)
	}
	if o := patient.check(<-stop, 0, `: stopped`, "stop"); o.stderr != "" {
		t.Errorf("stop says %q", o.stderr)
	}
}

// Pitfall 32: who does not want it killed is told that it still runs, and it
// goes on draining.
func TestStopWithoutKill(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	pid := p.start()
	job, finish := p.untilTold()
	p.want(151, `still running after 100ms`, "stop", "--timeout", "100ms", "--no-kill")
	finish()
	if answer := p.answer(job); answer != "done" {
		t.Errorf("the answer of the job under way is %q", answer)
	}
	p.eventually("it ends", func() bool { return !alive(pid) })
	p.wantDown()
}

// Pitfalls 31 and 32: who asks for a stop that is under way waits for it too,
// and takes nothing from the time to drain. Two TERM from elsewhere do.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.start()
	job, finish := p.untilTold()
	first := p.background("stop")
	p.eventually("it drains", func() bool { return p.status().State == "draining" })
	p.want(151, ``, "stop", "--timeout", "100ms", "--no-kill")
	second := p.background("stop")
	finish()
	p.check(<-second, 0, ``, "stop")
	p.check(<-first, 0, `: stopped`, "stop")
	if answer := p.answer(job); answer != "done" {
		t.Errorf("the answer of the job under way is %q", answer)
	}
}

// Pitfall 32: without a caller, after TERM, the daemon's own time to drain counts:
// one that has an hour outlasts one that was told later and has none.
func TestStopTimeoutOfTheDaemon(t *testing.T) {
	t.Parallel()
	patient, impatient := newProbe(t), newProbe(t)
	impatient.set("stop_timeout", `"300ms"`)
	var pids []int
	for _, p := range []*probed{patient, impatient} {
		pid := p.start()
		p.underWay("hang")
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.eventually("it drains, or has ended", func() bool { return p.status().State != "ready" })
		pids = append(pids, pid)
	}
	impatient.eventually("it ends", func() bool { return !alive(pids[1]) })
	impatient.wantDown()
	if log := impatient.log(); !strings.Contains(log, `unfinished=1`) {
		t.Errorf("the log does not tell of the job:\n%s", log)
	}
	if !alive(pids[0]) {
		t.Error("the daemon that had an hour to drain is gone")
	}
	patient.kill(pids[0])
}

// Pitfall 33: a suspended daemon can be stopped.
func TestStopSuspended(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	if err := syscall.Kill(i.start(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if o := i.want(0, `: stopped`, "stop", "--timeout", "30s"); o.stderr != "" {
		t.Errorf("stop says %q", o.stderr)
	}
}

// Pitfall 34: a part that hangs when it is to end is named, and the others have
// their turn.
func TestStopOfAPartHangs(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.env = append(p.env, probeStop+"=hang")
	p.start()
	if o := p.want(0, `: stopped`, "stop", "--timeout", "30s"); o.stderr != "" {
		t.Errorf("stop says %q", o.stderr)
	}
	p.wantDown() // the pidfile is emptied after it
	log := p.log()
	hangs := strings.Index(log, `step="transport probe"`)
	if hangs < 0 || !strings.Contains(log[hangs:], "stopped") {
		t.Errorf("the log does not name the part, or does not end:\n%s", log)
	}
}

// Pitfall 35: what a job has started ends with the daemon, however that ends.
func TestChildrenEndWithTheDaemon(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(p *probed, pid int){
		"stop": func(p *probed, _ int) { p.want(0, `: stopped`, "stop") },
		"kill": func(p *probed, pid int) { p.kill(pid) },
	} {
		t.Run(how, func(t *testing.T) {
			p := newProbe(t)
			pid := p.start()
			child := p.spawn()
			// Children are of a thread, which may end before the process.
			p.ask("threads 8")
			if !alive(child) {
				t.Fatal("the child ended before the daemon")
			}
			end(p, pid)
			if how == "stop" && alive(child) {
				t.Error("stop returned before the child was gone")
			}
			p.eventually("the child is gone", func() bool { return !alive(child) })
		})
	}
}

// Pitfall 36: a second TERM ends a drain at once, and the job that was under way
// is not said to be done.
func TestSecondTerm(t *testing.T) {
	t.Parallel()
	for _, job := range []string{"until /nosuch", "hang"} {
		p := newProbe(t) // with an hour to drain
		pid := p.start()
		conn := p.underWay(job)
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.eventually("it drains", func() bool { return p.status().State == "draining" })
		p.want(150, `draining`, "status", "--ready")
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.eventually("it ends", func() bool { return !alive(pid) })
		if answer := p.answer(conn); answer != "" {
			t.Errorf("the job is said to be done: %q", answer)
		}
		p.wantDown()
	}
}
