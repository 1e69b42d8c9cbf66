package main

// What a person may have meant by a word that is not known.

import (
	"fmt"

	"github.com/daemongen/daemongen/generator"
)

// didYouMean is a hint that names the candidate nearest to the word, or the
// other hint if none is near.
func didYouMean(word string, candidates []string, other string) string {
	if near := generator.Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return other
}
