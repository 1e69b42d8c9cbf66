package main

import (
	"os"

	"example.com/edm/internal/leftout"
)

// rounds is how often to repeat what fails only now and then: few times, or
// many in a long run, for which EDM_CONFORMANCE=long asks.
func rounds(few, many int) int {
	if os.Getenv("EDM_CONFORMANCE") == "long" {
		return many
	}
	leftout.Note("most rounds of the tests with many; EDM_CONFORMANCE=long runs them all")
	return few
}
