package generator

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a Spec: the field in the words of the
// command line ("transport"), what is wrong, and what to do about it.
type Problem struct{ Field, Reason, Hint string }

// InvalidError is what makes a Spec, or what was asked of a project, unusable:
// all its problems at once. Nothing was written.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.Field + ": " + p.Reason
	}
	return strings.Join(lines, "\n")
}

// invalid returns an InvalidError of one problem.
func invalid(field, hint, format string, args ...any) error {
	return &InvalidError{[]Problem{{field, fmt.Sprintf(format, args...), hint}}}
}

// RefusedError says that going on would overwrite or miss what is there.
// Nothing was written.
type RefusedError struct {
	Paths  []string // what is in the way, relative to the project, or the project itself
	Reason string   // what is wrong, with the paths in it
	Hint   string   // what to do about it
	Diff   string   // what overwriting would change, as a unified diff; may be empty
}

func (e *RefusedError) Error() string { return e.Reason }

// VerifyError says that the files of a plan don't make a sound project. Nothing
// was written.
type VerifyError struct {
	Problems []string // one line each, beginning with the path
	Hint     string
}

func (e *VerifyError) Error() string { return strings.Join(e.Problems, "\n") }

// BugError says that daemongen itself is broken: a template that does not
// render, or renders to what does not parse. Nothing was written.
type BugError struct {
	Err  error
	Hint string
}

func (e *BugError) Error() string { return e.Err.Error() }
func (e *BugError) Unwrap() error { return e.Err }

// bug returns the BugError for what is wrong with the templates.
func bug(err error) error {
	return &BugError{
		Err:  fmt.Errorf("templates: %w", err),
		Hint: "this is a bug of daemongen; please report it with the command that you typed",
	}
}

// FailedError is any other failure that a person can do something about.
type FailedError struct {
	Err  error
	Hint string
}

func (e *FailedError) Error() string { return e.Err.Error() }
func (e *FailedError) Unwrap() error { return e.Err }
