// Package leftout has a run of the tests say what it leaves out, and why. It is
// for tests only: TestMain of a package calls Main, and who needs something that
// is not there ends the test by one of the others.
package leftout

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

var noted struct {
	mu      sync.Mutex
	reasons map[string]bool
}

// Main runs the tests of a package, and says at the end what they left out, each
// reason once. It returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	noted.mu.Lock()
	defer noted.mu.Unlock()
	if len(noted.reasons) == 0 {
		return code
	}
	out, done := output()
	defer done()
	for _, reason := range slices.Sorted(maps.Keys(noted.reasons)) {
		_, _ = fmt.Fprintf(out, "LEFT OUT: %s\n", reason)
	}
	return code
}

// output returns where to say it: to go test itself, since that keeps what a
// package that passes has printed to itself. That is standard error of the go
// command that runs the tests, where there is one and what it prints goes to a
// terminal or a pipe: in a file it would write over ours. Else it is standard
// output, which go test shows with -v.
func output() (out io.Writer, done func()) {
	own := func() {}
	parent := fmt.Sprintf("/proc/%d/", os.Getppid())
	name, err := os.ReadFile(parent + "comm")
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return os.Stdout, own
	}
	file, err := os.OpenFile(parent+"fd/2", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return os.Stdout, own
	}
	done = func() { _ = file.Close() }
	if info, err := file.Stat(); err != nil || info.Mode().IsRegular() {
		done()
		return os.Stdout, own
	}
	return file, done
}

// Note notes what is left out of a test that goes on.
func Note(reason string) {
	noted.mu.Lock()
	defer noted.mu.Unlock()
	if noted.reasons == nil {
		noted.reasons = make(map[string]bool)
	}
	noted.reasons[reason] = true
}

// Skip ends the test, which is left out for a reason that is nobody's fault.
func Skip(t testing.TB, reason string) {
	t.Helper()
	Note(reason)
	t.Skip("LEFT OUT: " + reason)
}

// Impossible ends the test of something that the system does not give here, such
// as namespaces within a container.
func Impossible(t testing.TB, what string) {
	t.Helper()
	Skip(t, "the system does not give it here: "+what)
}

const (
	byRoot  = "what only root can test; run the tests as root too"
	byOther = "what root can't test, who may read and write everything; run the tests as another user too"
)

// Root ends a test that only root can make.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Skip(t, byRoot)
	}
}

// Other ends a test that root can't make.
func Other(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		Skip(t, byOther)
	}
}

// IsRoot reports whether to test what only root can, and else notes it.
func IsRoot() bool {
	if os.Geteuid() != 0 {
		Note(byRoot)
		return false
	}
	return true
}

// IsOther reports whether to test what root can't, and else notes it.
func IsOther() bool {
	if os.Geteuid() == 0 {
		Note(byOther)
		return false
	}
	return true
}

// Missing ends the test, for which the machine lacks something that it could
// have. Where CI=true that is a failure, since nobody reads there what was left
// out.
func Missing(t testing.TB, what string) {
	t.Helper()
	lacks(t, "missing: "+what)
}

// Program returns the path of a program, without which the test ends as one for
// which something is missing.
func Program(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Missing(t, program)
	}
	return path
}

// Service returns how to reach a server, from the environment variable that says
// so. Without it the test ends as one for which something is missing.
func Service(t testing.TB, variable, server string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		lacks(t, fmt.Sprintf("the tests with %s, since %s is not set", server, variable))
	}
	return value
}

func lacks(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason + "; CI=true accepts nothing left out for it")
	}
	Skip(t, reason)
}
