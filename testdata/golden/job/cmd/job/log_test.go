package main

// The log, while somebody rotates it, truncates it, or no longer takes it.

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/job/internal/leftout"
)

func (i *instance) logFile() string { return filepath.Join(i.dir, "log", name+".log") }

// reopen has the daemon open its log anew, which was moved away, and returns
// when it has.
func (i *instance) reopen(pid int) {
	i.t.Helper()
	i.want(0, fmt.Sprintf(`: reopened the log \(pid %d\)\n$`, pid), "reopen")
}

// Pitfall 46: the log is moved away 20 times while numbered lines are written to
// it, 5000 a second; none is missing or torn, and nobody writes to what was moved.
func TestRotation(t *testing.T) {
	const lines, rotations = 10000, 20
	i := newOwn(t)
	i.own(i.defaultConfig(), fmt.Sprint("lines = ", lines))
	pid := i.start()
	var files []string
	for n := range rotations {
		i.eventually("there are lines", func() bool { return strings.Contains(i.log(), "end=END") })
		moved := fmt.Sprintf("%s.%d", i.logFile(), n)
		if err := os.Rename(i.logFile(), moved); err != nil {
			t.Fatal(err)
		}
		i.reopen(pid)
		if n := i.writers(pid, moved); n > 0 {
			t.Errorf("the daemon has %s open %d times", moved, n)
		}
		files = append(files, moved)
	}
	files = append(files, i.logFile())
	i.logs(fmt.Sprintf(" number=%d end=END\n", lines-1))

	line := regexp.MustCompile(`^time=\S+ level=INFO msg=numbered number=(\d+) end=END$`)
	next := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(text)) {
			if !strings.Contains(text, "number") && strings.HasPrefix(text, "time=") {
				continue // of the daemon itself
			}
			match := line.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
			if match == nil || match[1] != strconv.Itoa(next) {
				t.Fatalf("%s has %q, want number %d", file, text, next)
			}
			next++
		}
	}
	if next != lines {
		t.Errorf("%d lines, want %d", next, lines)
	}
}

// writers is how many descriptors of the process lead to the file.
func (i *instance) writers(pid int, file string) (n int) {
	i.t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		i.t.Fatal(err)
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == file {
			n++
		}
	}
	return n
}

// Pitfall 47: a log that was truncated where it is goes on at its beginning.
func TestTruncatedLog(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start()
	for n := range 3 {
		if err := os.Truncate(i.logFile(), 0); err != nil {
			t.Fatal(err)
		}
		i.want(0, `reloaded`, "reload")
		if log := i.log(); !strings.HasPrefix(log, "time=") || !strings.HasSuffix(log, fmt.Sprintf(" generation=%d\n", n+2)) {
			t.Errorf("the log has %q", log)
		}
	}
}

// Pitfall 48: with a log that takes nothing the service goes on, and counts what
// it could not write.
func TestFullLog(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		leftout.Impossible(t, full)
	}
	i := newInstance(t)
	i.set("file", strconv.Quote(full))
	pid := i.start()
	before := i.dropped(pid)
	if before == 0 {
		t.Error("nothing was dropped")
	}
	i.want(0, `generation 2`, "reload")
	if n := i.dropped(pid); n <= before {
		t.Errorf("%d lines dropped, %d before a reload", n, before)
	}
	i.set("file", `""`) // Once there is room, the log says what is missing.
	i.want(0, `generation 3`, "reload")
	if log := i.log(); !strings.Contains(log, "lines of the log could not be written") || !strings.Contains(log, "generation=3") {
		t.Errorf("the log has %q", log)
	}
}

// dropped is how many lines of the log were lost, of a service that is ready.
func (i *instance) dropped(pid int) int {
	i.t.Helper()
	o := i.want(0, fmt.Sprintf(`"state":"ready","pid":%d,.*"log_dropped":\d+`, pid), "--json", "status")
	_, text, _ := strings.Cut(o.stdout, `"log_dropped":`)
	n := 0
	if _, err := fmt.Sscanf(text, "%d", &n); err != nil {
		i.t.Fatal(err)
	}
	return n
}

// Pitfall 48: the same for a reader of standard error who goes away.
func TestReaderOfLogGone(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	cmd := i.command("foreground")
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(log).ReadString('\n'); err != nil {
		t.Errorf("the first line is %q: %v", line, err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	i.eventually("ready", func() bool { return i.run("status", "--ready").code == 0 })
	for range 3 {
		i.want(0, `reloaded`, "reload")
	}
	if i.dropped(cmd.Process.Pid) == 0 {
		t.Error("nothing was dropped")
	}
	i.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A file a day, from the start and by a reload.
func TestDailyLog(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.set("daily", "true")
	before := time.Now()
	pid := i.start()
	file := i.dailyFile(before)
	i.want(0, `generation 2`, "reload")
	if n := i.writers(pid, file); n != 2 { // the log, and standard error
		t.Errorf("the daemon has %s open %d times", file, n)
	}
	if _, err := os.Stat(i.logFile()); err == nil {
		t.Errorf("%s is there", i.logFile())
	}
	i.set("daily", "false")
	i.want(0, `generation 3`, "reload")
	if !strings.Contains(i.log(), "generation=3") {
		t.Errorf("the log has %q", i.log())
	}
	if n := i.writers(pid, file); n != 0 {
		t.Errorf("the daemon has %s open still", file)
	}
}

// dailyFile is the log of today; before is a time shortly ago.
func (i *instance) dailyFile(before time.Time) string {
	i.t.Helper()
	for _, day := range []time.Time{before, time.Now()} { // midnight may have been between
		file := strings.TrimSuffix(i.logFile(), ".log") + "-" + day.Format(time.DateOnly) + ".log"
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	i.t.Fatal("there is no file of the day")
	return ""
}
