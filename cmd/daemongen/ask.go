package main

// Questions with cursor keys. This file alone knows the survey library, and
// uses only its two lists: its line input asks the terminal where the cursor is
// (ESC[6n) and waits for an answer that a terminal need not give. A line of
// text is therefore read as [lineAsker] reads it.

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/AlecAivazis/survey/v2"
	"github.com/AlecAivazis/survey/v2/core"
	"github.com/AlecAivazis/survey/v2/terminal"
)

// listAsker shows options as a list in which the cursor keys move.
type listAsker struct {
	lineAsker          // for Text
	screen    *os.File // where the list is drawn
}

// newListAsker returns an asker for a terminal that can move its cursor.
func newListAsker(keys *keyboard, screen *os.File, color bool) *listAsker {
	core.DisableColor = !color
	return &listAsker{lineAsker: lineAsker{keys: keys, screen: screen}, screen: screen}
}

// Several lets a person mark any number of the options.
func (a *listAsker) Several(q question) ([]string, error) {
	var answer []string
	err := a.put(q, &answer, &survey.MultiSelect{
		Message:     q.Label,
		Help:        q.Help,
		Options:     q.names(),
		Default:     q.Default,
		Filter:      q.filter,
		Description: q.summary,
	})
	return answer, err
}

// One lets a person choose one of the options.
func (a *listAsker) One(q question) (string, error) {
	var answer string
	err := a.put(q, &answer, &survey.Select{
		Message:     q.Label,
		Help:        q.Help,
		Options:     q.names(),
		Default:     q.Default[0],
		Filter:      q.filter,
		Description: q.summary,
	})
	return answer, err
}

// put asks until the answer, to which the pointer leads, is a valid one.
func (a *listAsker) put(q question, answer any, prompt survey.Prompt) error {
	err := survey.AskOne(prompt, answer,
		survey.WithStdio(listKeys{a.keys}, a.screen, a.screen),
		survey.WithValidator(func(value any) error { return q.Check(chosen(value)) }))
	if errors.Is(err, terminal.InterruptErr) {
		return &interrupted{syscall.SIGINT}
	}
	return unanswered(err)
}

// listKeys is a keyboard without the keys that survey does not know: it ends
// the question on Alt with a letter, and on a function key it waits for the
// next key and swallows that.
type listKeys struct{ *keyboard }

// Read is that of the keyboard, but for the keys that are left out.
func (k listKeys) Read(p []byte) (int, error) {
	for {
		n, err := k.keyboard.Read(p)
		if n = knownKeys(p[:n]); n > 0 || err != nil {
			return n, err
		}
	}
}

// knownKeys removes from what was typed, in place, the escape sequences but
// those of the arrows, Home and End, and returns the length of the rest.
func knownKeys(typed []byte) int {
	rest := typed[:0]
	for len(typed) > 0 {
		n := keyLength(typed)
		if n == 1 || n == 3 && strings.IndexByte("ABCDFH", typed[2]) >= 0 {
			rest = append(rest, typed[:n]...)
		}
		typed = typed[n:]
	}
	return len(rest)
}

// keyLength is the number of bytes of the first key: an escape sequence of
// ECMA-48 (ESC [ … letter), one of a VT100's keypad (ESC O and a letter), a
// letter with Alt (ESC and the letter), or one byte.
func keyLength(typed []byte) int {
	if typed[0] != terminal.KeyEscape || len(typed) == 1 {
		return 1
	}
	switch typed[1] {
	case 'O':
		return min(3, len(typed))
	case '[':
		for i, b := range typed[2:] {
			if b >= '@' && b <= '~' {
				return i + 3
			}
		}
		return len(typed)
	}
	return 2
}

// chosen are the names in an answer as survey hands it to a validator.
func chosen(value any) []string {
	switch v := value.(type) {
	case core.OptionAnswer:
		return []string{v.Value}
	case []core.OptionAnswer:
		names := make([]string, len(v))
		for i, answer := range v {
			names[i] = answer.Value
		}
		return names
	}
	return nil
}

// filter tells whether the option stays in the list while a person types. A
// filter that would leave none hides none, because survey panics on an empty
// list: on Ctrl-D in one, on arrow up and space in the other.
func (q question) filter(typed, name string, _ int) bool {
	matches := func(o option) bool { return strings.Contains(o.Name, strings.ToLower(typed)) }
	return matches(option{Name: name}) || !slices.ContainsFunc(q.Options, matches)
}

// summary is the line that stands beside an option.
func (q question) summary(_ string, i int) string { return q.Options[i].Summary }

// names are the options without their summaries.
func (q question) names() []string {
	names := make([]string, len(q.Options))
	for i, o := range q.Options {
		names[i] = o.Name
	}
	return names
}
