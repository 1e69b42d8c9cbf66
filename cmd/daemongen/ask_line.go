package main

// Questions line by line, for terminals that can't move their cursor and for
// people who let a machine read the screen to them.

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// lineAsker numbers the options and reads an answer of one line, in the
// terminal's own line editing.
type lineAsker struct {
	keys   *keyboard
	screen io.Writer
}

// newLineAsker returns an asker for any terminal.
func newLineAsker(keys *keyboard, screen *os.File) *lineAsker {
	return &lineAsker{keys: keys, screen: screen}
}

// Several takes numbers or names, separated by commas or blanks; "none" or 0
// for no option at all.
func (a *lineAsker) Several(q question) ([]string, error) {
	a.list(q)
	return a.put(q, "numbers or names, 0 for none", func(line string) ([]string, error) {
		if line == "0" || line == none {
			return nil, nil
		}
		var answer []string
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ' ' }) {
			name, err := q.option(word)
			if err != nil {
				return nil, err
			}
			answer = append(answer, name)
		}
		return answer, nil
	})
}

// One takes the number or the name of an option.
func (a *lineAsker) One(q question) (string, error) {
	a.list(q)
	answer, err := a.put(q, "number or name", func(line string) ([]string, error) {
		name, err := q.option(line)
		return []string{name}, err
	})
	return strings.Join(answer, ""), err
}

// Text takes a line as it is, without blanks around it.
func (a *lineAsker) Text(q question) (string, error) {
	answer, err := a.put(q, q.Label, func(line string) ([]string, error) {
		return []string{line}, nil
	})
	return strings.Join(answer, ""), err
}

// list shows the options with their numbers.
func (a *lineAsker) list(q question) {
	width := 0
	for _, o := range q.Options {
		width = max(width, len(o.Name))
	}
	_, _ = fmt.Fprintf(a.screen, "%s\n", q.Label)
	for i, o := range q.Options {
		_, _ = fmt.Fprintf(a.screen, "  %d) %-*s  %s\n", i+1, width, o.Name, o.Summary)
	}
}

// put asks with a prompt until read makes a valid answer of the line.
func (a *lineAsker) put(q question, prompt string, read func(line string) ([]string, error)) ([]string, error) {
	byDefault := strings.Join(q.Default, ",")
	if byDefault == "" {
		byDefault = q.Empty
	}
	for {
		_, _ = fmt.Fprintf(a.screen, "%s, ? for help [%s]: ", prompt, byDefault)
		line, err := a.keys.line()
		if err != nil {
			_, _ = fmt.Fprintln(a.screen)
		}
		switch {
		case errors.Is(err, io.EOF):
			return q.Default, nil
		case err != nil:
			return nil, unanswered(err)
		case line == "":
			return q.Default, nil
		case line == "?":
			_, _ = fmt.Fprintln(a.screen, q.Help)
			continue
		}
		answer, err := read(line)
		if err == nil {
			err = q.Check(answer)
		}
		if err == nil {
			return answer, nil
		}
		_, _ = fmt.Fprintln(a.screen, err)
	}
}

// option is the name of the option that a person means by a word: its number
// or its name.
func (q question) option(word string) (string, error) {
	for i, o := range q.Options {
		if word == o.Name || word == strconv.Itoa(i+1) {
			return o.Name, nil
		}
	}
	return "", fmt.Errorf("%q is none of them", word)
}
