package templates_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStartToReady measures how long the command start takes, from its own
// start to its end, when the daemon is ready: of a project with the transport
// tcp and without a database, and of a bare program that runs itself as often
// and does nothing else. The two take turns; ratio is the median of the ratios
// of each pair. MB-rss is the memory of the daemon a second later, with nobody
// connected.
func BenchmarkStartToReady(b *testing.B) {
	dir, err := os.MkdirTemp("", "daemongen-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // for the user that root's daemon becomes
		b.Fatal(err)
	}
	bare, feed := filepath.Join(dir, "bare"), buildFeed(b, dir)
	output(b, "", nil, "go", "build", "-o", bare, "./testdata/bare")
	env := append(os.Environ(),
		"FEED_CONFIG="+filepath.Join(dir, "project", "configs", "feed.toml"),
		"FEED_DAEMON_RUN_DIR="+filepath.Join(dir, "run"),
		"FEED_DAEMON_STATE_DIR="+filepath.Join(dir, "state"),
		"FEED_TRANSPORT_TCP_LISTEN=127.0.0.1:0",
		"LOGS_DIRECTORY="+filepath.Join(dir, "log"))
	b.Cleanup(func() { output(b, "", env, feed, "stop", "--timeout", "5s") })

	var ours, theirs, ratios []float64
	for b.Loop() {
		began := time.Now()
		output(b, "", env, feed, "start")
		one := time.Since(began)
		output(b, "", env, feed, "stop")

		began = time.Now()
		out := output(b, "", nil, bare)
		other := time.Since(began)
		if pid, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
			b.Fatalf("the bare daemon printed %q", out)
		}
		ours, theirs = append(ours, milliseconds(one)), append(theirs, milliseconds(other))
		ratios = append(ratios, one.Seconds()/other.Seconds())
	}
	b.ReportMetric(quantile(ours, 0.5), "ms-start")
	b.ReportMetric(quantile(theirs, 0.5), "ms-bare")
	b.ReportMetric(quantile(ratios, 0.5), "ratio")
	b.ReportMetric(0, "ns/op") // stopping and both together say nothing
	b.ReportMetric(resident(b, output(b, "", env, feed, "start")), "MB-rss")
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// buildFeed generates a project, builds it and returns the program.
func buildFeed(b *testing.B, dir string) string {
	b.Helper()
	project, program := filepath.Join(dir, "project"), filepath.Join(dir, "feed")
	output(b, "", nil, "go", "run", "../cmd/daemongen", "new", "feed", "--database", "none", "--dir", project, "--yes")
	output(b, project, nil, "go", "build", "-o", program, "./cmd/feed")
	return program
}

// output runs a program, which has to succeed, and returns what it printed.
func output(b *testing.B, dir string, env []string, program string, args ...string) string {
	b.Helper()
	cmd := exec.Command(program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String()
}

// resident is the memory, in MB, of the daemon whose start printed out, after a
// second.
func resident(b *testing.B, out string) float64 {
	b.Helper()
	var pid, kilobytes int
	_, after, _ := strings.Cut(out, "(pid ")
	if _, err := fmt.Sscanf(after, "%d)", &pid); err != nil {
		b.Fatalf("start printed %q", out)
	}
	time.Sleep(time.Second)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skip("LEFT OUT: no memory to look at: ", err)
	}
	_, after, _ = strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscanf(strings.TrimSpace(after), "%d kB", &kilobytes); err != nil {
		b.Fatal(err)
	}
	return float64(kilobytes) / 1024
}
