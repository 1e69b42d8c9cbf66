package main

// daemongen verify: does the daemon of a project keep its promises?

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/daemongen/daemongen/generator"
	"github.com/daemongen/daemongen/generator/lifecycle"
)

// verified is what verify prints with --json.
type verified struct {
	outcome
	Result  string       `json:"result"` // held or failed
	Root    string       `json:"root"`   // relative to the working directory
	Held    int          `json:"held"`
	Failed  int          `json:"failed"`
	Skipped int          `json:"skipped"`
	Seconds float64      `json:"seconds"`
	Checks  []checkedRow `json:"checks"`
}

// checkedRow is a promise, and what became of it.
type checkedRow struct {
	Group   string  `json:"group"`
	Name    string  `json:"name"`
	Result  string  `json:"result"` // ok, failed or skipped
	Cause   string  `json:"cause,omitempty"`
	Seconds float64 `json:"seconds"`
}

// verifyCommand returns the command verify.
func verifyCommand(con *console) *cobra.Command {
	var skipTests bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "build the project, test it, and see whether its daemon keeps its promises",
		Long: paragraph(
			"verify builds the project around the working directory, runs its tests, and",
			"drives its daemon as an administrator would: it starts, reloads, upgrades, kills",
			"and stops it, with good and with broken configurations, and looks at its files",
			"and its process. A table tells which promises held.",
			"",
			"All of it happens in a temporary folder, with the configuration of the project on",
			"free ports of 127.0.0.1. What the service needs from its environment it gets, but",
			"no variable that names a file or an address. Nothing is left running, nor written",
			"to the project. A daemon that needs a server which is not there can't start, and",
			"then most of the promises are not verified.",
			"",
			"What needs root or Linux is left out elsewhere, and said so. The exit code is 1 if",
			"anything did not hold, 6 without a go command."),
		Example: paragraph(
			"  daemongen verify",
			"  daemongen verify --skip-tests -q"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return tooMany(cmd, args[0])
			}
			return verify(cmd.Context(), con, skipTests)
		},
	}
	cmd.Flags().BoolVar(&skipTests, "skip-tests", false, "leave out the project's own tests")
	return cmd
}

// verify verifies the project around the working directory.
func verify(ctx context.Context, con *console, skipTests bool) error {
	root, err := generator.FindProject(".")
	if err != nil {
		return err
	}
	t := newTable(con)
	opts := lifecycle.Options{Root: root, SkipTests: skipTests, Done: t.row}
	if con.verbose {
		opts.Ran = func(line string) { con.note("  $ %s", line) }
	}
	begin := time.Now()
	rows, err := lifecycle.Verify(ctx, opts)
	if err != nil {
		return lacking(err)
	}
	if root, err = fromHere(root); err != nil {
		return err
	}
	v := sumUp(rows, root, time.Since(begin))
	if err := t.end(v); err != nil {
		return err
	}
	if v.ExitCode != exitDone {
		return &reportedError{v.ExitCode}
	}
	return nil
}

// lacking gives its exit code to what this machine has not.
func lacking(err error) error {
	var lacks *lifecycle.EnvironmentError
	if errors.As(err, &lacks) {
		return &commandError{exitLacking, err.Error(), lacks.Hint}
	}
	return err
}

// sumUp is the object for the rows.
func sumUp(rows []lifecycle.Row, root string, took time.Duration) verified {
	v := verified{
		outcome: outcome{Command: "verify", ExitCode: exitDone},
		Result:  "held",
		Root:    filepath.ToSlash(root),
		Seconds: seconds(took),
		Checks:  []checkedRow{},
	}
	for _, r := range rows {
		switch r.Result {
		case lifecycle.Held:
			v.Held++
		case lifecycle.Skipped:
			v.Skipped++
		case lifecycle.Failed:
			v.Failed++
			v.Problems = append(v.Problems, problem{Field: r.Name, Reason: r.Cause})
		}
		v.Checks = append(v.Checks, checkedRow{r.Group, r.Name, strings.ToLower(string(r.Result)), r.Cause, seconds(r.Time)})
	}
	if v.Failed > 0 {
		v.ExitCode, v.Result = exitFailed, "failed"
		v.Error = fmt.Sprintf("%d of %s did not hold", v.Failed, count(len(rows), "promise"))
	}
	return v
}

// seconds is a duration for the object, to a thousandth.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// table prints the rows as they are done, to stdout, or, where that is for the
// object, to stderr.
type table struct {
	con   *console
	out   *os.File
	width int    // of the names
	group string // of the row before
}

func newTable(con *console) *table {
	t := &table{con: con, out: con.stdout}
	if con.json {
		t.out = con.stderr
	}
	for _, p := range lifecycle.Promises() {
		t.width = max(t.width, utf8.RuneCountInString(p.Name))
	}
	return t
}

// row prints a row; with --quiet only one that failed.
func (t *table) row(r lifecycle.Row) {
	if t.con.quiet && r.Result != lifecycle.Failed {
		return
	}
	if r.Group != t.group {
		t.group = r.Group
		t.printf("%s\n", r.Group)
	}
	result := t.paint(r.Result) + strings.Repeat(" ", len(lifecycle.Skipped)-len(r.Result))
	note := short(r.Time)
	if r.Result == lifecycle.Skipped {
		note = r.Cause
	}
	t.printf("  %-*s  %s  %s\n", t.width, r.Name, result, note)
	if r.Result != lifecycle.Failed {
		return
	}
	for line := range strings.Lines(r.Cause) {
		t.printf("%s\n", strings.TrimRight("      "+line, " \r\n"))
	}
}

// end prints the last line, and the object if that is wanted.
func (t *table) end(v verified) error {
	if !t.con.quiet {
		t.printf("\n%d held, %d failed, %d skipped, in %s\n", v.Held, v.Failed, v.Skipped, short(time.Duration(v.Seconds*float64(time.Second))))
	}
	if !t.con.json {
		return nil
	}
	return t.con.print(v, "")
}

// printf writes to the table. A reader who has gone away does not want the rest,
// and the exit code tells it, too.
func (t *table) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format, args...)
}

// paint puts a result into its colour, if the table has colours.
func (t *table) paint(result lifecycle.Result) string {
	if !t.con.colors(t.out) {
		return string(result)
	}
	color := map[lifecycle.Result]string{lifecycle.Held: "32", lifecycle.Failed: "31", lifecycle.Skipped: "33"}[result]
	return "\x1b[" + color + "m" + string(result) + "\x1b[m"
}

// short is a duration as a person wants it.
func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
