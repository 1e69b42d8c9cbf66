package main

import (
	"os"

	"example.com/fee/internal/leftout"
)

// rounds is how often to repeat what fails only now and then: few times, or
// many in a long run, for which FEE_CONFORMANCE=long asks.
func rounds(few, many int) int {
	if os.Getenv("FEE_CONFORMANCE") == "long" {
		return many
	}
	leftout.Note("most rounds of the tests with many; FEE_CONFORMANCE=long runs them all")
	return few
}
