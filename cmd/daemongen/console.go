package main

// Where the command and a person meet. The rules of the user interface:
//
//   - Results go to stdout; errors, hints, questions and notes go to stderr.
//     With --json stdout holds exactly one object, errors included.
//   - An error is "daemongen: what is wrong", one line for each thing that is;
//     below it stands "hint: what to do about it", if something can be done.
//   - No capitals at the beginning and no periods at the end. %q goes round what
//     a person typed.
//   - What needs no action is no error. What has not happened is not claimed.
//   - What is to be typed has a line of its own, behind two blanks, quoted for a
//     shell, and works as it stands.
//   - Colours only mark the lines of a diff, the results of verify and the
//     questions; all that they say can be read without them.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/daemongen/daemongen/generator"
)

// console holds the streams, and the flags that every command takes.
type console struct {
	stdin, stdout, stderr *os.File

	json, quiet, verbose bool
	color                *choice
	chdir                string
}

// flags defines the flags that every command takes.
func (c *console) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&c.json, "json", false, "print one JSON object on stdout, everything else on stderr")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "print nothing but errors and what was asked for")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "name every file, and every command that is run")
	flags.Var(c.color, "color", "colours, a `WORD`: auto, always or never")
	flags.StringVarP(&c.chdir, "chdir", "C", "", "work in the folder `DIR`")
}

// begin makes the flags true, before the command runs.
func (c *console) begin() error {
	if c.quiet && c.verbose {
		return usage("", "--quiet and --verbose contradict each other")
	}
	if c.chdir == "" {
		return nil
	}
	if err := os.Chdir(c.chdir); err != nil {
		return usage("", "--chdir: %q: %v", c.chdir, errors.Unwrap(err))
	}
	return nil
}

// outcome is the head of every object that --json prints.
type outcome struct {
	Command  string    `json:"command"`
	ExitCode int       `json:"exit_code"`
	Error    string    `json:"error,omitempty"`
	Problems []problem `json:"problems,omitempty"`
}

// problem is one thing that is wrong, and what to do about it. The field is
// the flag, key or path that it is about, where there is one.
type problem struct {
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

// print writes the result of a command: the object with --json, else the text.
func (c *console) print(object any, text string) error {
	if c.json {
		data, err := encode(object)
		if err != nil {
			return err
		}
		text = string(data)
	}
	_, err := c.stdout.WriteString(text)
	return err
}

// encode is the object as JSON, indented, with < and > as they are.
func encode(object any) ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(object)
	return buf.Bytes(), err
}

// note writes a line that is not the result to stderr, unless --quiet.
func (c *console) note(format string, args ...any) {
	if !c.quiet {
		_, _ = fmt.Fprintf(c.stderr, format+"\n", args...)
	}
}

// fail tells what is wrong, and returns the exit code.
func (c *console) fail(cmd *cobra.Command, err error) int {
	code, problems := explain(err)
	if c.json {
		_ = c.print(outcome{cmd.Name(), code, err.Error(), problems}, "")
	}
	for _, p := range problems {
		if p.Field != "" {
			p.Reason = p.Field + ": " + p.Reason
		}
		_, _ = fmt.Fprintf(c.stderr, "daemongen: %s\n", p.Reason)
		if p.Hint != "" {
			_, _ = fmt.Fprintf(c.stderr, "hint: %s\n", p.Hint)
		}
	}
	var refused *generator.RefusedError
	if errors.As(err, &refused) {
		_, _ = fmt.Fprint(c.stderr, c.colored(refused.Diff, c.stderr))
	}
	return code
}

// commandError is what the command line itself finds wrong.
type commandError struct {
	code         int
	reason, hint string
}

func (e *commandError) Error() string { return e.reason }

// reportedError is the end of a command whose result has told all about it.
type reportedError struct{ code int }

func (e *reportedError) Error() string { return "the result tells what is wrong" }

// usage returns the error for something that was typed wrong; the hint may be
// empty.
func usage(hint, format string, args ...any) error {
	return &commandError{exitUsage, fmt.Sprintf(format, args...), hint}
}

// explain turns an error into the exit code and what is to be said about it.
func explain(err error) (int, []problem) {
	var (
		own       *commandError
		signalled *interrupted
		invalid   *generator.InvalidError
		refused   *generator.RefusedError
		unsound   *generator.VerifyError
		bug       *generator.BugError
		failed    *generator.FailedError
	)
	switch {
	case errors.As(err, &own):
		return own.code, []problem{{Reason: err.Error(), Hint: own.hint}}
	case errors.As(err, &signalled):
		return signalled.code(), []problem{{Reason: err.Error()}}
	case errors.As(err, &invalid):
		var problems []problem
		for _, p := range invalid.Problems {
			problems = append(problems, problem(p))
		}
		return exitUsage, problems
	case errors.As(err, &refused):
		return exitRefused, []problem{{Reason: err.Error(), Hint: refused.Hint}}
	case errors.As(err, &unsound):
		var problems []problem
		for _, line := range unsound.Problems {
			problems = append(problems, problem{Reason: line})
		}
		if len(problems) > 0 {
			problems[len(problems)-1].Hint = unsound.Hint
		}
		return exitInvalid, problems
	case errors.As(err, &bug):
		return exitBug, []problem{{Reason: err.Error(), Hint: bug.Hint}}
	case errors.As(err, &failed):
		return exitFailed, []problem{{Reason: err.Error(), Hint: failed.Hint}}
	}
	return exitFailed, []problem{{Reason: err.Error()}}
}

// colored returns a unified diff with colours, if the stream takes them.
func (c *console) colored(diff string, stream *os.File) string {
	if !c.colors(stream) {
		return diff
	}
	var b strings.Builder
	for line := range strings.Lines(diff) {
		text, end := strings.TrimSuffix(line, "\n"), line[len(strings.TrimSuffix(line, "\n")):]
		switch {
		case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
			text = "\x1b[1m" + text + "\x1b[m"
		case strings.HasPrefix(line, "@@"):
			text = "\x1b[36m" + text + "\x1b[m"
		case strings.HasPrefix(line, "-"):
			text = "\x1b[31m" + text + "\x1b[m"
		case strings.HasPrefix(line, "+"):
			text = "\x1b[32m" + text + "\x1b[m"
		}
		b.WriteString(text + end)
	}
	return b.String()
}

// colors tells whether to write colours to a stream: as --color says, else to
// a terminal that has them, unless NO_COLOR (no-color.org) is set.
func (c *console) colors(stream *os.File) bool {
	switch c.color.word {
	case "always":
		return true
	case "never":
		return false
	}
	return os.Getenv("NO_COLOR") == "" && !dumb() && term.IsTerminal(int(stream.Fd()))
}

// dumb tells whether the terminal is one that only prints.
func dumb() bool {
	name := os.Getenv("TERM")
	return name == "" || name == "dumb"
}
