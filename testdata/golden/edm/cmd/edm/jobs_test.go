package main

// What jobs have to do with the life of the service: under a supervisor, and
// while another process takes over.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// Pitfall 45: what a supervisor passes to the service is not passed to jobs.
func TestJobsKnowNoSupervisor(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	s := newSupervisor(p.instance)
	cmd := s.foreground("WATCHDOG_USEC=60000000", "LISTEN_FDS=1", "LISTEN_PID=1")
	s.await("READY=1", 1)
	if env := p.ask("run env"); regexp.MustCompile(`NOTIFY_|WATCHDOG_|LISTEN_|DAEMON_HANDOVER`).MatchString(env) {
		t.Errorf("a job has %s", env)
	}
	p.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.await("STOPPING=1", 1) // the second notification arrives as well
}

// A pool that hangs leaves the watchdog without its sign of life; one that has a
// worker left does not.
func TestHungPoolMissesWatchdog(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.set("timeout", `"100ms"`)
	p.set("attempts", "1\ncount = 2")
	s := newSupervisor(p.instance)
	cmd := s.foreground("WATCHDOG_USEC=900000")
	s.await("WATCHDOG=1", 1)
	p.underWay("hang")
	p.underWay("hang")
	p.eventually("no sign of life any more", func() bool {
		before := s.count("WATCHDOG=1")
		time.Sleep(time.Second) // in which there are three of a service that lives
		return s.count("WATCHDOG=1") == before
	})
	if err := cmd.Process.Kill(); err != nil { // as a supervisor would
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

// Upgrades follow each other while the processes before still have work: each
// ends when it has answered, and a stop waits for all of them.
func TestUpgradesWhileBusy(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	first := p.start()
	type work struct {
		pid    int
		answer func() string
		finish func()
	}
	var all []work
	pid := first
	for n := range 3 {
		file := filepath.Join(p.dir, fmt.Sprint("finish", n))
		job := p.underWay("until " + file)
		all = append(all, work{pid, func() string { return p.answer(job) }, func() {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Error(err)
			}
		}})
		pid = p.upgrade()
	}
	for _, w := range all {
		if !alive(w.pid) {
			t.Fatalf("pid %d has left its work", w.pid)
		}
	}
	if got := p.status().Replaced; got != len(all) {
		t.Errorf("%d processes are said to be at their last work, want %d", got, len(all))
	}
	p.want(0, fmt.Sprintf(`reloaded \(pid %d, `, pid), "reload")
	all[1].finish()
	if answer := all[1].answer(); answer != "done" {
		t.Errorf("the answer of a process that was replaced is %q", answer)
	}
	p.eventually("it has ended", func() bool { return !alive(all[1].pid) })
	stopped := p.background("stop")
	p.eventually("it drains", func() bool { return p.status().State == "draining" })
	all[0].finish()
	all[2].finish()
	p.check(<-stopped, 0, fmt.Sprintf(`: stopped \(pid %d\)`, pid), "stop")
	for _, w := range []work{all[0], all[2]} {
		if answer := w.answer(); answer != "done" {
			t.Errorf("the answer of a process that was replaced is %q", answer)
		}
		if alive(w.pid) {
			t.Errorf("pid %d outlives the stop", w.pid)
		}
	}
	p.wantDown()
}

// At the deadline of a stop the processes from before an upgrade are killed too.
func TestKillAfterUpgrade(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	before := p.start()
	p.underWay("hang")
	after := p.upgrade()
	child := p.spawn()
	p.underWay("hang")
	p.want(0, `: stopped`, "stop", "--timeout", "300ms")
	for _, pid := range []int{before, after, child} {
		if alive(pid) {
			t.Errorf("pid %d outlives the stop", pid)
		}
	}
	p.wantDown()
}

// Pitfall 35, in an upgrade: the process that was replaced takes its own jobs
// with it when it is killed, and neither the one that took over nor its jobs.
func TestKillOfAReplacedProcess(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	before := p.start()
	its := p.spawn()
	p.underWay("hang")
	after := p.upgrade()
	others := p.spawn()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.eventually("it is gone with its job", func() bool { return !alive(before) && !alive(its) })
	if !alive(after) || !alive(others) {
		t.Error("the process that took over, or its job, is gone as well")
	}
	p.want(0, fmt.Sprintf(`ready \(pid %d\)`, after), "status", "--ready")
}

// Pitfall 35, the other way round: who is in the process group of a service in the
// foreground, as the rest of a script is, is not the service's to end, even if the
// leader of their session has gone. That is so under many an init of a container
// and runner of tests.
func TestStopSparesItsGroup(t *testing.T) {
	t.Parallel()
	for how, args := range map[string][]string{
		"in order":        {"stop"},
		"at the deadline": {"stop", "--timeout", "200ms"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			p := newProbe(t)
			script := exec.Command("sh", "-c", `"$0" foreground & sleep 600 & echo $!`, p.program)
			script.Env, script.Dir, script.Stderr = p.env, p.dir, p.stderr()
			script.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out, err := script.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := script.Start(); err != nil {
				t.Fatal(err)
			}
			var other int
			if _, err := fmt.Fscan(out, &other); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = syscall.Kill(other, syscall.SIGKILL) })
			p.eventually("ready", func() bool { return p.run("status", "--ready").code == 0 })
			// Its standard output is that of the others, so this is all there is to wait for.
			if err := script.Wait(); err != nil {
				t.Fatal(err)
			}
			if len(args) > 1 {
				p.underWay("hang")
			}
			p.want(0, `: stopped`, args...)
			if !alive(other) {
				t.Error("another program in the group of the service was ended with it")
			}
		})
	}
}
