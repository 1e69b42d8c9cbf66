package main

// What the commands have in common that change a project: their flags, and how
// they carry out a plan and tell of it.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/daemongen/daemongen/generator"
)

// planFlags are the flags of a command that carries out a plan.
type planFlags struct {
	dryRun, diff, noVerify bool
}

// define defines the flags.
func (f *planFlags) define(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.dryRun, "dry-run", "n", false, "do all but the last step: write nothing")
	flags.BoolVar(&f.diff, "diff", false, "print what changes, as a unified diff")
	flags.BoolVar(&f.noVerify, "no-verify", false, "write the result even if it is not sound")
}

// carryOut checks the plan and, unless this is a dry run, writes it.
func (f *planFlags) carryOut(ctx context.Context, plan *generator.Plan) error {
	if !f.noVerify {
		if err := plan.Verify(); err != nil {
			return err
		}
	}
	if f.dryRun {
		return cmp.Or(unwritable(plan, plan.Check()), context.Cause(ctx))
	}
	return unwritable(plan, plan.Apply(ctx))
}

// unwritable names the project in an error of the file system, which knows only
// the files that were to be put into its place. An error that says more stays as
// it is.
func unwritable(plan *generator.Plan, err error) error {
	var (
		path  *fs.PathError
		link  *os.LinkError
		cause error
	)
	switch {
	case errors.As(err, &path) && err.Error() == path.Error():
		cause = path.Err
	case errors.As(err, &link) && err.Error() == link.Error():
		cause = link.Err
	default:
		return err
	}
	hint := ""
	if errors.Is(cause, fs.ErrPermission) || errors.Is(cause, syscall.EROFS) || errors.Is(cause, fs.ErrNotExist) {
		hint = "it takes a folder that you may write to"
	}
	return &commandError{exitFailed, fmt.Sprintf("%q can't be written: %v", plan.Root, cause), hint}
}

// done says of a result that could not be printed that it is there nevertheless.
func (f *planFlags) done(plan *generator.Plan, err error) error {
	if err == nil || f.dryRun {
		return err
	}
	return fmt.Errorf("the project in %q is complete, but: %w", plan.Root, err)
}

// planned is the part of a --json object that tells of a plan.
type planned struct {
	outcome
	Result  string    `json:"result"` // created, changed or unchanged; with --dry-run "would be created" and so on
	Project string    `json:"project"`
	Root    string    `json:"root"` // as it was given, or relative to the working directory
	Files   []written `json:"files"`
	Bytes   int       `json:"bytes"` // of all files after the change
	Diff    string    `json:"diff,omitempty"`
}

// written is a file of a plan.
type written struct {
	Path   string   `json:"path"`
	Change string   `json:"change"`
	Bytes  int      `json:"bytes"`
	Notes  []string `json:"notes,omitempty"`
}

// describe tells of a plan that was carried out.
func (f *planFlags) describe(command, result string, plan *generator.Plan) planned {
	p := planned{
		outcome: outcome{Command: command},
		Result:  result,
		Project: plan.Spec.Name,
		Root:    filepath.ToSlash(plan.Root),
		Files:   []written{},
	}
	switch {
	case plan.Empty():
		p.Result = "unchanged"
	case f.dryRun:
		p.Result = "would be " + result
	}
	if f.diff {
		p.Diff = plan.Diff()
	}
	for _, file := range plan.Files {
		p.Bytes += len(file.After)
		p.Files = append(p.Files, written{file.Path, file.Change, len(file.After), file.Notes})
	}
	return p
}

// would is put before a verb of which the dry run only speaks.
func (f *planFlags) would(verb, past string) string {
	if f.dryRun {
		return "would " + verb
	}
	return past
}

// count is a number of things, in English.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size is a number of bytes for a person.
func size(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

// paragraph joins lines.
func paragraph(lines ...string) string { return strings.Join(lines, "\n") }
