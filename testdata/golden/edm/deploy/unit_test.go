package deploy_test

// The systemd unit, read by systemd.

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/edm/internal/daemon"
	"example.com/edm/internal/leftout"
)

// unit writes a copy of the unit whose program is there, and returns its path:
// systemd looks for the program.
func unit(t *testing.T) (path, text string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(name + ".service")
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(string(source), "/usr/local/bin/"+name, program)
	path = filepath.Join(t.TempDir(), name+".service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// systemd-analyze exits with 0 also when it warns.
func TestUnitIsValid(t *testing.T) {
	t.Parallel()
	analyze := leftout.Program(t, "systemd-analyze")
	path, _ := unit(t)
	out, err := exec.Command(analyze, "verify", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	analyze := leftout.Program(t, "systemd-analyze")
	path, _ := unit(t)
	out, err := exec.Command(analyze, "security", "--offline=true", path).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	match := regexp.MustCompile(`Overall exposure level for .*: ([0-9.]+)`).FindSubmatch(out)
	if match == nil {
		t.Fatalf("no level in\n%s", out)
	}
	if level, err := strconv.ParseFloat(string(match[1]), 64); err != nil || level >= 2 {
		t.Errorf("exposure level %s, want below 2.0\n%s", match[1], out)
	}
}

// systemd must not kill a daemon that drains for as long as it may by default.
func TestUnitWaitsForTheDrain(t *testing.T) {
	t.Parallel()
	_, text := unit(t)
	limit := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(text)
	if limit == nil {
		t.Fatal("TimeoutStopSec is missing")
	}
	drain := time.Duration(daemon.DefaultSettings().StopTimeout)
	if seconds, err := strconv.Atoi(limit[1]); err != nil || time.Duration(seconds)*time.Second < drain+5*time.Second {
		t.Errorf("TimeoutStopSec is %s s, for a drain of %s", limit[1], drain)
	}
}
