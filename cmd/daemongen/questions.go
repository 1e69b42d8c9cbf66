package main

// The questions of daemongen new.

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"github.com/daemongen/daemongen/generator"
	"github.com/daemongen/daemongen/templates"
)

// A question is put to a person. Its default is valid, so that Enter alone
// answers it.
type question struct {
	Label   string               // what is asked for, a few words
	Help    string               // what "?" shows
	Options []option             // what there is to choose from, for Several and One
	Default []string             // what Enter alone answers
	Empty   string               // what it is called if the default is empty
	Check   func([]string) error // what is wrong with an answer, or nil
}

// An option is one of the answers to a question.
type option struct{ Name, Summary string }

// An asker puts questions to a person, one at a time. Its methods return the
// answer, which passed the question's Check, or the default at the end of the
// input. The error is the cause of the context's end, an [interrupted] for
// Ctrl-C, or what went wrong with the terminal, which is as it was before.
type asker interface {
	Several(question) ([]string, error)
	One(question) (string, error)
	Text(question) (string, error)
}

var (
	_ asker = (*listAsker)(nil)
	_ asker = (*lineAsker)(nil)
)

// asker returns what puts questions to the person at the terminal.
func (c *console) asker(ctx context.Context) asker {
	keys := newKeyboard(ctx, c.stdin)
	if dumb() || os.Getenv("ACCESSIBLE") != "" {
		return newLineAsker(keys, c.stderr)
	}
	return newListAsker(keys, c.stderr, c.colors(c.stderr))
}

// mayAsk tells whether there is a person to ask.
func (o *newOptions) mayAsk(con *console) bool {
	return !o.yes && !o.noInput && term.IsTerminal(int(con.stdin.Fd())) && term.IsTerminal(int(con.stderr.Fd()))
}

// unanswered is the error of a question that ended without an answer, or nil.
func unanswered(err error) error {
	var signalled *interrupted
	if err == nil || errors.As(err, &signalled) {
		return err
	}
	return fmt.Errorf("reading the answer: %w", err)
}

// inquiries are the questions that new may ask, in order, each under the flag
// that answers it.
var inquiries = []struct {
	flag string
	ask  func(asker, *generator.Spec) error
}{
	{"transport", askTransports},
	{"database", askDatabase},
	{"user", askUser},
	{"group", askGroup},
}

// askTransports asks how messages get in.
func askTransports(ask asker, spec *generator.Spec) (err error) {
	spec.Transports, err = ask.Several(question{
		Label:   "transports",
		Help:    "how messages get to the daemon; it can have several, and more can be added later",
		Options: options(templates.Transport),
		Default: spec.Transports,
		Empty:   none,
		Check: checking(*spec, "transport", func(trial *generator.Spec, answer []string) {
			trial.Transports = answer
		}),
	})
	return err
}

// askDatabase asks where messages are stored.
func askDatabase(ask asker, spec *generator.Spec) (err error) {
	spec.Database, err = ask.One(question{
		Label:   "database",
		Help:    "where the daemon stores what it receives; its tables are made when it starts",
		Options: append(options(templates.Database), option{none, "store nothing"}),
		Default: []string{spec.Database},
		Check: checking(*spec, "database", func(trial *generator.Spec, answer []string) {
			trial.Database = answer[0]
		}),
	})
	return err
}

// askUser asks who the daemon runs as.
func askUser(ask asker, spec *generator.Spec) (err error) {
	spec.User, err = ask.Text(question{
		Label:   "user",
		Help:    "the name or number of the user that the daemon becomes when root starts it",
		Default: []string{spec.User},
		Check: checking(*spec, "user", func(trial *generator.Spec, answer []string) {
			trial.User = answer[0]
		}),
	})
	return err
}

// askGroup asks which group the daemon runs as.
func askGroup(ask asker, spec *generator.Spec) (err error) {
	spec.Group, err = ask.Text(question{
		Label:   "group",
		Help:    "the name or number of the group that the daemon becomes when root starts it",
		Default: []string{spec.Group},
		Empty:   "the user's own",
		Check: checking(*spec, "group", func(trial *generator.Spec, answer []string) {
			trial.Group = answer[0]
		}),
	})
	return err
}

// options are the features of a kind, to choose from.
func options(kind templates.Kind) []option {
	var list []option
	for _, f := range generator.Features() {
		if f.Kind == kind {
			list = append(list, option{f.Name, f.Summary})
		}
	}
	return list
}

// checking returns a Check that tries an answer on a copy of the spec, and
// tells what is wrong with the field.
func checking(trial generator.Spec, field string, put func(*generator.Spec, []string)) func([]string) error {
	return func(answer []string) error {
		put(&trial, answer)
		var invalid *generator.InvalidError
		if errors.As(trial.Validate(), &invalid) {
			for _, p := range invalid.Problems {
				if p.Field == field {
					return errors.New(p.Reason)
				}
			}
		}
		return nil
	}
}
