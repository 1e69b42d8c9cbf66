package main

// Values of flags that the flag library does not have.

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// none stands for "no feature of this kind".
const none = "none"

var (
	_ pflag.Value = (*choice)(nil)
	_ pflag.Value = (*names)(nil)
)

// choice is one of a few words; the first is the default.
type choice struct {
	word  string
	words []string
}

// newChoice returns a choice with its default.
func newChoice(words ...string) *choice { return &choice{words[0], words} }

func (c *choice) String() string { return c.word }
func (c *choice) Type() string   { return "word" }

// Set takes one of the words.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return errors.New("not one of the words")
	}
	c.word = word
	return nil
}

// names are the names of features: a flag that can be repeated, each time with
// one name or with several between commas, or once with the word none.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }
func (n *names) Type() string   { return "names" }

// Set adds names to those that there are.
func (n *names) Set(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			return errors.New("a name is empty")
		}
		*n = append(*n, name)
	}
	if len(*n) > 1 && slices.Contains(*n, none) {
		return errors.New(`"none" stands alone`)
	}
	return nil
}

// features are the names without the word none; an answer, so never nil.
func (n names) features() []string {
	if slices.Equal(n, names{none}) {
		return []string{}
	}
	return n
}
