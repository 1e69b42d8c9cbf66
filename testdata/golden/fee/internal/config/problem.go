// What Load has to say against a configuration.

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one fault of a configuration. As an error it wraps the cause, if
// there is one: errors.Is(problem, fs.ErrNotExist) tells that the file is
// missing.
type Problem struct {
	File         string // as given to Load, or "environment variable NAME"
	Line, Column int    // from 1, the column in bytes; 0: the fault is at no place in the file
	Key          string // in full, "worker.count"; empty: the file as a whole
	Reason       string // what is wrong, a phrase without a period

	cause error
}

// String returns "file:line:column: key: reason", without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Reason)
	return b.String()
}

// Error implements error.
func (p Problem) Error() string { return p.String() }

// Unwrap returns the cause, or nil.
func (p Problem) Unwrap() error { return p.cause }

// Problems is every fault of a configuration: those in the file in the order of
// their places, then those in the environment.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each problem as an error.
func (p Problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, problem := range p {
		errs[i] = problem
	}
	return errs
}

// sort brings the problems into order; those without a place come last.
func (p Problems) sort() {
	placeless := func(p Problem) int {
		if p.Line == 0 {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(placeless(a), placeless(b)),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Key, b.Key),
		)
	})
}
