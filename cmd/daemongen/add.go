package main

// daemongen add: one more feature for a project.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/daemongen/daemongen/generator"
	"github.com/daemongen/daemongen/templates"
)

// addOptions are the flags of add, and what is to be added.
type addOptions struct {
	planFlags
	refs []generator.Ref
}

// addCommand returns the command add.
func addCommand(con *console) *cobra.Command {
	var opts addOptions
	cmd := &cobra.Command{
		Use:   "add KIND NAME",
		Short: "add a feature to the project around the working directory",
		Long: paragraph(
			"add plugs a feature into a project that daemongen wrote. It creates the feature's",
			"files and puts one entry into each of the shared ones; nothing else changes. What",
			"is there already stays as it is, so that adding twice is adding once.",
			"",
			`KIND is transport, database, component or deploy; "daemongen list" shows the names.`,
			"Any folder of the project will do as working directory."),
		Example: paragraph(
			"  daemongen add transport tcp",
			"  daemongen add database sqlite --dry-run --diff"),
		ValidArgsFunction: completeFeature,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage("usage: "+cmd.UseLine(), "what to add is missing")
			}
			if len(args) > 2 {
				return tooMany(cmd, args[2])
			}
			kind, err := kindOf(args[0])
			if err != nil {
				return err
			}
			opts.refs = []generator.Ref{{Kind: kind, Name: args[1]}}
			return add(cmd.Context(), con, &opts)
		},
	}
	opts.define(cmd.Flags())
	return cmd
}

// add adds the features to the project around the working directory.
func add(ctx context.Context, con *console, opts *addOptions) error {
	root, err := generator.FindProject(".")
	if err != nil {
		return err
	}
	if root, err = fromHere(root); err != nil {
		return err
	}
	plan, err := generator.Add(root, opts.refs...)
	if err != nil {
		return err
	}
	if err := opts.carryOut(ctx, plan); err != nil {
		return err
	}
	return opts.done(plan, con.print(opts.describe("add", "changed", plan), opts.text(con, plan)))
}

// fromHere is the path of a folder as the working directory sees it.
func fromHere(dir string) (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return filepath.Rel(here, dir)
}

// text tells a person what add did, and where to look next.
func (o *addOptions) text(con *console, plan *generator.Plan) string {
	var b strings.Builder
	if o.diff {
		b.WriteString(con.colored(plan.Diff(), con.stdout))
	}
	if con.quiet {
		return b.String()
	}
	what := fmt.Sprint(o.refs[0])
	if plan.Empty() {
		fmt.Fprintf(&b, "%s is in %s already\n", what, plan.Spec.Name)
		return b.String()
	}
	fmt.Fprintf(&b, "%s %s to %s\n", o.would("add", "added"), what, plan.Spec.Name)
	for _, file := range plan.Files {
		verb := o.would("change", "changed")
		if file.Before == nil {
			verb = o.would("create", "created")
		}
		fmt.Fprintf(&b, "  %s %s", verb, file.Path)
		if len(file.Notes) > 0 {
			fmt.Fprintf(&b, ": %s", strings.Join(file.Notes, ", "))
		}
		b.WriteString("\n")
	}
	for _, file := range plan.Files {
		if file.Change == "section" {
			fmt.Fprintf(&b, "settings to look at: %s of %s\n", strings.Join(file.Notes, ", "), file.Path)
		}
	}
	return b.String()
}

// completeFeature completes the two arguments of add.
func completeFeature(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return kinds(), cobra.ShellCompDirectiveNoFileComp
	case 1:
		return featuresOf(templates.Kind(args[0])), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
