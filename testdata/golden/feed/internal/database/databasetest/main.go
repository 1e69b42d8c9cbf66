// What a run of the tests needs, and what it leaves out for lack of it.

package databasetest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// leftOut has what was not tested, for the end of the run.
var leftOut []string

// Main runs the tests of a package, from its TestMain, and says at the end which
// suites were left out: to go test itself, since that keeps what a package that
// passes has printed to itself. Find returns the place of a name, in another
// process.
func Main(m *testing.M, find func(name string) Place) {
	migrateAndExit(find)
	code := m.Run()
	if len(leftOut) > 0 {
		out := starter()
		for _, what := range leftOut {
			_, _ = fmt.Fprintf(out, "LEFT OUT: %s\n", what)
		}
	}
	os.Exit(code)
}

// starter returns standard error of the go command that runs the tests, where
// there is one and what it prints goes to a terminal or a pipe: in a file it
// would write over ours. Else it is standard output, which go test shows with -v.
func starter() io.Writer {
	parent := fmt.Sprintf("/proc/%d/", os.Getppid())
	name, err := os.ReadFile(parent + "comm")
	if err != nil || strings.TrimSpace(string(name)) != "go" {
		return os.Stdout
	}
	file, err := os.OpenFile(parent+"fd/2", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return os.Stdout
	}
	if info, err := file.Stat(); err != nil || info.Mode().IsRegular() {
		return os.Stdout
	}
	return file
}

// Server returns how to reach a real server, from the environment variable that
// says so. Without it the test is left out, which is said at the end, and is a
// failure where CI=true, since nobody reads there what was left out.
func Server(t *testing.T, variable, of string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value != "" {
		return value
	}
	what := fmt.Sprintf("the tests with %s, since %s is not set", of, variable)
	if os.Getenv("CI") == "true" {
		t.Fatal(what + ", and CI=true accepts nothing left out")
	}
	if !slices.Contains(leftOut, what) {
		leftOut = append(leftOut, what)
	}
	t.Skip("LEFT OUT: " + what)
	return ""
}
