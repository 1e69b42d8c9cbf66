package main

// What a run of the tests leaves out, which is said at its end.

import (
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
)

var leftOut struct {
	mu      sync.Mutex
	reasons map[string]bool
}

func noteLeftOut(reason string) {
	leftOut.mu.Lock()
	defer leftOut.mu.Unlock()
	if leftOut.reasons == nil {
		leftOut.reasons = make(map[string]bool)
	}
	leftOut.reasons[reason] = true
}

// printLeftOut prints a line for each reason for which something was left out.
func printLeftOut(w io.Writer) {
	leftOut.mu.Lock()
	defer leftOut.mu.Unlock()
	for _, reason := range slices.Sorted(maps.Keys(leftOut.reasons)) {
		printf(w, "LEFT OUT: %s\n", reason)
	}
}

// skip ends the test, which is left out for a reason that is nobody's fault.
func skip(t *testing.T, reason string) {
	t.Helper()
	noteLeftOut(reason)
	t.Skip("LEFT OUT: " + reason)
}

// missing ends the test, for which the machine lacks something. Where CI=true
// that is a failure, since nobody reads there what was left out.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("missing, and CI=true accepts no test left out: " + what)
	}
	skip(t, "missing: "+what)
}

// impossible ends the test of something that the system does not allow here, such
// as to make namespaces within a container.
func impossible(t *testing.T, what string) {
	t.Helper()
	skip(t, "the system does not give it here: "+what)
}

// needsRoot ends a test that only root can make.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "what only root can test; run the tests as root too")
	}
}

// rounds is how often to repeat what fails only now and then: few times, or
// many in a long run, for which FEED_CONFORMANCE=long asks.
func rounds(few, many int) int {
	if os.Getenv("FEED_CONFORMANCE") == "long" {
		return many
	}
	noteLeftOut("most rounds of the tests with many; FEED_CONFORMANCE=long runs them all")
	return few
}
