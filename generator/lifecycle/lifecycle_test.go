package lifecycle

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A person reads the names beside each other, in groups.
func TestPromises(t *testing.T) {
	seen, groups, last := make(map[string]bool), make(map[string]bool), ""
	for _, p := range Promises() {
		if seen[p.Name] || p.Name == "" || len(p.Name) > 64 || strings.HasSuffix(p.Name, ".") {
			t.Errorf("the name %q", p.Name)
		}
		if seen[p.Name] = true; p.Group != last && groups[p.Group] {
			t.Errorf("group %q comes twice", p.Group)
		}
		groups[p.Group], last = true, p.Group
	}
}

// What an output keeps open does not hold up its reader for ever.
func TestExecuteKeptOpen(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 20 & exit 0")
	o := execute(t.Context(), "it", cmd)
	if o.err == nil || !strings.Contains(o.String(), "keeps its output open") {
		t.Errorf("%v", o)
	}
}

// A command that ends by itself, by a signal, and by our patience.
func TestExecute(t *testing.T) {
	for script, want := range map[string]string{
		"echo out; echo err >&2; exit 3": "it: exit 3\nstdout: out\nstderr: err",
		"kill -9 $$":                     "it: was ended: signal: killed",
	} {
		if got := execute(t.Context(), "it", exec.CommandContext(t.Context(), "sh", "-c", script)).String(); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}

// A program whose commands never end is not waited for again and again, and one
// that can't be started is not tried again.
func TestTryGivesUp(t *testing.T) {
	for script, c := range map[string]struct {
		needs state
		last  string
	}{
		"#!/bin/sh\nexec sleep 600\n":          {idle, "its commands do not end, see above"},
		"#!/bin/sh\necho broken >&2; exit 1\n": {stopped, "the daemon can't be started, see above"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		d, err := newDriver(projectIn(t, ""), dir, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.program, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		d.limit = 500 * time.Millisecond
		var causes []string
		for range 4 {
			result, cause := d.try(t.Context(), check{needs: c.needs, run: (*driver).checkStart})
			causes = append(causes, string(result)+" "+cause)
		}
		if !strings.HasPrefix(causes[0], "FAILED want exit 0: my-feed start: ") || causes[3] != "skipped "+c.last {
			t.Errorf("%q:\n%s", script, strings.Join(causes, "\n"))
		}
	}
}

// With a command end the programs that it has started.
func TestExecuteEndsAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	noted := filepath.Join(t.TempDir(), "pid")
	cmd := exec.CommandContext(ctx, "sh", "-c", "sleep 600 & echo $! >$0.new && mv $0.new $0; wait", noted)
	done := make(chan outcome)
	go func() { done <- execute(ctx, "it", cmd) }()
	child := 0
	for ; child == 0; time.Sleep(time.Millisecond) {
		child, _ = strconv.Atoi(strings.TrimSpace(readText(noted)))
	}
	cancel()
	if o := <-done; o.err == nil {
		t.Errorf("%v", o)
	}
	for begin := time.Now(); alive(child); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			_ = syscall.Kill(child, syscall.SIGKILL)
			t.Fatal("what the command has started runs on")
		}
	}
}

// A folder that only root may pass through is not for root's daemon.
func TestForAll(t *testing.T) {
	dir := t.TempDir()
	inner := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if forAll(inner) {
		t.Error("a folder in one of mode 0700 is for all")
	}
	if !forAll("/") {
		t.Error("the root folder is not for all")
	}
}

func TestExcerpt(t *testing.T) {
	if got := excerpt("ok  \tfeed\t1s\n--- FAIL: TestX\nFAIL\n"); got != "--- FAIL: TestX\nFAIL" {
		t.Errorf("%q", got)
	}
	if got := strings.Count(excerpt(strings.Repeat("x\n", 1000)), "\n"); got != maxExcerpt {
		t.Errorf("%d lines of 1000, want %d", got+1, maxExcerpt+1)
	}
}
