package deploy_test

// The watchdog beside a daemon that does as the test wants.

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.com/fee/internal/leftout"
)

func TestShellcheck(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	if out, err := exec.Command(leftout.Program(t, "shellcheck"), scripts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Pitfall 67: watchdogs that fight each other.
func TestOneWatchdogActs(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.answer("status", "3 stopped", "0 ready")
		all := []*watchdog{w.watch(), w.watch(), w.watch()}
		w.eventually("two give way", func() bool {
			all = slices.DeleteFunc(all, func(d *watchdog) bool {
				if !d.hasEnded() {
					return false
				}
				d.wantEnd(0, "another watchdog watches "+w.path("run"))
				return true
			})
			return len(all) == 1
		})
		w.awaitLooks(3)
		w.wantCalls(1, 0)
	})
}

// Pitfall 11: what a watchdog has started does not keep its lock.
func TestLockEndsWithTheWatchdog(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		// The first start leaves a daemon that closes nothing. The watchdog is
		// killed in the second.
		w.answer("status", "3 stopped")
		w.answer("start", "0", "0 - 300")
		w.write("hook", `[ "$command$calls" != start1 ] || /bin/sleep 300 &`+"\n", 0o644)
		first := w.watch()
		w.eventually("it starts again", func() bool { return w.calls("start") == 2 })
		first.signal(syscall.SIGKILL)
		first.awaitEnd()
		if len(first.group()) < 2 {
			t.Fatalf("what was to be left is not there: %q", first.group())
		}
		// Its only look may be over before anybody waits for it: it waits in the
		// start then.
		w.watch()
		w.eventually("the next watchdog starts it", func() bool { return w.calls("start") == 3 })
	})
}

// Without flock(1) the lock outlives a watchdog that is killed, and a person is
// told what to do.
func TestLockWithoutFlock(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		for _, program := range []string{"sh", "sleep", "date", "find", "id", "mkdir", "rmdir", "rm"} {
			if err := os.Symlink(leftout.Program(w.t, program), w.path("bin", program)); err != nil {
				w.t.Fatal(err)
			}
		}
		shell := leftout.Program(w.t, w.shell[0])
		w.shell = append([]string{shell}, w.shell[1:]...)
		w.env = append(w.env, "PATH="+w.path("bin"))

		first := w.watch()
		w.awaitLooks(1)
		w.watch().wantEnd(0, "another watchdog watches "+w.path("run"))
		first.signal(syscall.SIGTERM)
		first.wantEnd(0, "ended by SIGTERM")

		second := w.watch()
		w.awaitLooks(1)
		second.signal(syscall.SIGKILL)
		second.awaitEnd()
		w.watch().wantEnd(0, "hint: if there is none, remove "+w.runFile(".watchdog.d"))
	})
}

// Pitfall 68: a watchdog that kills a busy daemon.
func TestBusyIsLeftAlone(t *testing.T) {
	t.Parallel()
	for what, status := range map[string][]string{
		"starting": {times(10, "150 starting"), "0 ready"},
		"draining": {times(10, "150 draining"), "0 ready"},
		"a stall":  {times(2, "150"), "0 ready", times(2, "4 unknown"), "0 ready", times(2, "150 ready"), "150 draining", times(2, "150 ready"), "0 ready"},
		"ready":    {"0 reloading"},
		// No restart brings a database back, and no start would succeed.
		"waiting":         {times(10, "150 ready 0 database"), "0 ready"},
		"waiting, a hang": {times(2, "150"), "150 ready 0 database", times(2, "4 unknown"), "150 ready 0 database"},
	} {
		t.Run(what, func(t *testing.T) {
			inEachShell(t, func(w *watched) {
				w.fake()
				w.answer("status", status...)
				w.watch()
				w.awaitLooks(12)
				w.wantCalls(0, 0)
			})
		})
	}
}

// Pitfall 68: a daemon that does not serve, whatever that looks like, is
// restarted when it was so three times in a row.
func TestHungIsRestarted(t *testing.T) {
	t.Parallel()
	for what, status := range map[string]string{
		"not ready":       "150 ready",
		"does not answer": "150",
		"unknown":         "4",
	} {
		t.Run(what, func(t *testing.T) {
			inEachShell(t, func(w *watched) {
				w.fake()
				w.answer("status", "0 ready", times(3, status), "0 ready")
				w.watch()
				w.eventually("it is restarted", func() bool { return w.calls("restart") == 1 })
				before, _, _ := strings.Cut(w.read("calls"), "restart\n")
				if before != times(4, "status")+"\n" {
					w.t.Errorf("restarted after %q, want 4 looks", before)
				}
				w.awaitLooks(4)
				w.wantCalls(0, 1)
			})
		})
	}
}

// Pitfall 68: one that has waited for something is restarted like any other when
// it does not answer any more. That it waits is told once.
func TestHungWhileWaiting(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.answer("status", times(5, "150 ready 0 database"), "0 ready", times(2, "150 ready 0 database"), times(3, "150"), "0 ready")
		d := w.watch()
		w.eventually("it is restarted", func() bool { return w.calls("restart") == 1 })
		w.awaitLooks(3)
		w.wantCalls(0, 1)
		if n := strings.Count(w.read(d.log), "waits for something that it depends on"); n != 2 {
			w.t.Errorf("it was told %d times to wait, want 2", n)
		}
	})
}

// Pitfall 68: of a daemon that has status hang as well nothing can be told.
func TestProbesEnd(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.answer("status", "0 ready 300")
		w.watch("--probe-timeout", "1s")
		w.eventually("it is restarted", func() bool { return w.calls("restart") > 0 })
	})
}

// A timeout(1) of another make is done without: it must not fail every probe.
func TestStrangeTimeout(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.script("bin/timeout", "exit 125")
		w.watch()
		w.awaitLooks(5)
		w.wantCalls(0, 0)
	})
}

// Pitfall 68: a start that takes its time is waited for; pitfall 69: a daemon
// that hangs in a stop is not brought back.
func TestSlowStartAndStop(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.answer("status", "3 stopped", "0 ready")
		w.answer("start", "0 - 2")
		w.watch("--interval", "10ms")
		w.eventually("it is started", func() bool { return strings.Contains(w.read("ends"), "start") })
		if ends := w.read("ends"); !strings.HasPrefix(ends, "status\nstart\n") {
			w.t.Errorf("it looked while it started: %q", ends)
		}
		w.write("run/"+name+".down", "", 0o644)
		w.answer("status", "150")
		w.awaitLooks(6)
		w.wantCalls(1, 0)
	})
}

// A signal ends it at once whatever it is doing, and nothing else.
func TestEndsOnSignal(t *testing.T) {
	t.Parallel()
	// A shell can't take a signal that was ignored when it was started, as HUP is
	// below nohup; what these tests take themselves they do not pass on as ignored.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	inEachShell(t, func(w *watched) {
		w.fake()
		for _, by := range []struct {
			syscall.Signal
			name string
		}{{syscall.SIGTERM, "SIGTERM"}, {syscall.SIGINT, "SIGINT"}, {syscall.SIGHUP, "SIGHUP"}} {
			d := w.watch("--interval", "10m")
			w.eventually("it naps", func() bool { return strings.Contains(strings.Join(d.group(), ""), "(sleep)") })
			d.signal(by.Signal)
			d.wantEnd(0, "ended by "+by.name)
			d.wantNothingLeft()
		}

		// Nor does it wait for what would take longer than the test.
		w.answer("status", "0 ready 300")
		before := w.calls("status")
		d := w.watch("--probe-timeout", "10m")
		w.eventually("it looks", func() bool { return w.calls("status") > before })
		d.signal(syscall.SIGTERM)
		d.wantEnd(0, "ended by SIGTERM")

		w.answer("status", "3 stopped")
		w.answer("start", "0 - 300")
		d = w.watch()
		w.eventually("it starts the daemon", func() bool { return w.calls("start") == 1 })
		d.signal(syscall.SIGTERM)
		d.wantEnd(0, "ended by SIGTERM")
		if len(d.group()) == 0 {
			w.t.Error("it has ended the start as well")
		}
	})
}

// A log that nobody takes any more does not end it.
func TestLogIsClosed(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.answer("status", times(3, "150"), "0 ready")
		piped := slices.Concat(w.shell[1:], []string{"-c", `"$@" 2>&1 | :`, "sh"}, w.shell[:1])
		w.watchWith(append(piped, w.arguments(quick...)...)...)
		w.eventually("it acts", func() bool { return w.calls("restart") == 1 })
		w.awaitLooks(3)
	})
}

// Pitfall 70: a crash loop without pauses or without an end. Pitfall 72: the
// clock jumps with every line of the log.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.skipTime()
		w.answer("status", "1 crashed")
		w.answer("start", "1")
		w.watchSlowly().wantEnd(1, "gave up after 10 starts in 600 s: "+name+" is down (status 1)")
		w.wantCalls(10, 0)
		want := strings.Fields("1 2 4 8 16 32 60 60 60")
		if got := strings.Fields(w.read("sleeps")); !slices.Equal(got, want) {
			w.t.Errorf("it slept %q, want %q", got, want)
		}
		if text := w.read("run/" + name + ".gaveup"); !strings.Contains(text, "Z gave up after 10 starts in 600 s") || strings.Count(text, "\n") != 1 {
			w.t.Errorf("%s.gaveup is %q", name, text)
		}

		// The next one begins anew.
		w.answer("status", "0 ready")
		w.watchSlowly()
		w.awaitLooks(1)
		if _, err := os.Stat(w.runFile(".gaveup")); !os.IsNotExist(err) {
			w.t.Errorf("the next watchdog has left the mark: %v", err)
		}
	})
}

// Pitfall 70: one that gets ready and dies a moment later, or never gets ready,
// is a crash loop as well.
func TestDeathsAfterReady(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		status []string
		reason string
	}{
		"dies":       {slices.Repeat([]string{times(2, "0 ready"), "1 crashed", "1 crashed"}, 20), "is down (status 1)"},
		"never well": {[]string{"150"}, "does not get ready"},
	} {
		t.Run(what, func(t *testing.T) {
			inEachShell(t, func(w *watched) {
				w.fake()
				w.skipTime()
				w.answer("status", test.status...)
				w.watchSlowly().wantEnd(1, "gave up after 10 starts in 600 s: "+name+" "+test.reason)
				if n := w.calls("start") + w.calls("restart"); n != 10 {
					w.t.Errorf("%d starts, want 10", n)
				}
			})
		})
	}
}

// A daemon that was well for a while starts anew: no long pause for it, and no
// end after ten deaths on ten days.
func TestRecovery(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.skipTime()
		const rounds = 12
		w.answer("status", append(slices.Repeat([]string{"1 crashed", times(3, "0 ready")}, rounds), "0 ready")...)
		w.watchSlowly("--interval", "30s")
		w.eventually("all rounds are over", func() bool { return w.calls("start") == rounds })
		for sleep := range strings.FieldsSeq(w.read("sleeps")) {
			if sleep != "30" {
				w.t.Errorf("it slept %s s, want the interval only", sleep)
			}
		}
	})
}

func TestCallsThatCannotBe(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		w.mkdir("open")
		if err := os.Chmod(w.path("open"), 0o777); err != nil {
			w.t.Fatal(err)
		}
		for _, test := range []struct {
			flags string
			code  int
			text  string
		}{
			{"--help", 0, "usage: "},
			{"--interval", 2, "its value is missing"},
			{"--interval 5", 2, "--interval: must be a time"},
			{"--interval 0s", 2, "--interval: must be a time"},
			{"--interval 08s", 2, "--interval: must be a time"},
			{"--backoff=-1s", 2, "--backoff: must be a time"},
			{"--window=1h", 2, "--window: must be a time"},
			{"--wait x", 2, "--wait: must be a time"},
			{"--nonsense 1", 2, "--nonsense: no such flag"},
			{"start", 2, "no such flag"},
			{"--binary /nonsense", 5, "there is no program /nonsense"},
			{"--run-dir " + w.path("open"), 4, "may be written by others"},
			{"--run-dir /dev/null/x", 4, "can't be made"},
		} {
			w.watch(strings.Fields(test.flags)...).wantEnd(test.code, test.text)
		}
		if calls := w.read("calls"); calls != "" {
			w.t.Errorf("calls:\n%s", calls)
		}
	})
}

// The run directory is what the program says it is, unless it is given.
func TestAsksForRunDir(t *testing.T) {
	t.Parallel()
	inEachShell(t, func(w *watched) {
		w.fake()
		args := append(slices.Clone(w.shell[1:]), name+"-watchdog.sh", "--interval", "10ms", "--binary="+w.binary())
		d := w.watchWith(args...)
		w.awaitLooks(2)
		if want := fmt.Sprintf("watches %s in %s\n", w.binary(), w.path("run")); !strings.Contains(w.read(d.log), want) {
			w.t.Errorf("no %q in\n%s", want, w.read(d.log))
		}
		d.signal(syscall.SIGTERM)
		d.awaitEnd()

		w.script(name, `echo "the cause" >&2; exit 6`)
		w.watchWith(args...).wantEnd(6, "the cause\n"+name+"-watchdog: "+name+" does not tell its run directory")
	})
}
