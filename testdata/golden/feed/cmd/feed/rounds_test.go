package main

import (
	"os"

	"example.com/feed/internal/leftout"
)

// rounds is how often to repeat what fails only now and then: few times, or
// many in a long run, for which FEED_CONFORMANCE=long asks.
func rounds(few, many int) int {
	if os.Getenv("FEED_CONFORMANCE") == "long" {
		return many
	}
	leftout.Note("most rounds of the tests with many; FEED_CONFORMANCE=long runs them all")
	return few
}
