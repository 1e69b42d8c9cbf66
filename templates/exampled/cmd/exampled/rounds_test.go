package main

import (
	"os"

	"github.com/daemongen/daemongen/templates/exampled/internal/leftout"
)

// rounds is how often to repeat what fails only now and then: few times, or
// many in a long run, for which EXAMPLED_CONFORMANCE=long asks.
func rounds(few, many int) int {
	if os.Getenv("EXAMPLED_CONFORMANCE") == "long" {
		return many
	}
	leftout.Note("most rounds of the tests with many; EXAMPLED_CONFORMANCE=long runs them all")
	return few
}
