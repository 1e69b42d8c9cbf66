package main

// daemongen new: a project.

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daemongen/daemongen/generator"
	"github.com/daemongen/daemongen/templates"
)

// newOptions are the flags of new, and the name.
type newOptions struct {
	planFlags
	name                           string
	module, dir                    string
	transports, components, deploy names
	database                       string
	user, group                    string
	preset, from                   string
	set                            []string
	git                            *choice
	yes, noInput                   bool
}

// newCommand returns the command new.
func newCommand(con *console) *cobra.Command {
	opts := newOptions{git: newChoice(none, "init", "commit")}
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "write a project: a daemon that builds, starts and works",
		Long: paragraph(
			"new writes a project into a new folder: a daemon in Go, complete, pinned and ready",
			"to build without daemongen. On a terminal it asks for what it is not told; Enter",
			"alone takes the default. Without a terminal the defaults are taken."),
		Example: paragraph(
			"  daemongen new feed",
			"  daemongen new feed --module github.com/you/feed --transport tcp --database none",
			"  daemongen new fee --preset fee",
			"  daemongen new feed --from ../other/.daemongen.json --dry-run"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return tooMany(cmd, args[1])
			}
			if len(args) == 1 {
				opts.name = args[0]
			}
			return newProject(cmd, con, &opts)
		},
	}
	opts.define(cmd)
	return cmd
}

// define defines the flags.
func (o *newOptions) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.module, "module", "", "`PATH` of the module (default example.com/NAME)")
	flags.StringVar(&o.dir, "dir", "", "`DIR` to make and to write the project into (default ./NAME)")
	flags.Var(&o.transports, "transport", "the ways in, a `NAME,...` or none (default "+defaultTransport+")")
	flags.StringVar(&o.database, "database", "", "the place to store to, a `NAME` or none (default "+defaultDatabase+")")
	flags.Var(&o.components, "component", "what runs beside the work, a `NAME,...` or none")
	flags.Var(&o.deploy, "deploy", "files for a deployment, a `NAME,...` or none")
	flags.StringVar(&o.user, "user", "", "`USER` that the daemon runs as (default "+generator.Spec{}.Normalize().User+")")
	flags.StringVar(&o.group, "group", "", "`GROUP` that the daemon runs as (default the user's own)")
	flags.StringVar(&o.preset, "preset", "", "begin with the service `NAME` that is ready, and its answers")
	flags.StringVar(&o.from, "from", "", "take the answers from `FILE`, such as the .daemongen.json of a project; - is stdin")
	flags.StringArrayVar(&o.set, "set", nil, "a value of the configuration, as `KEY=VALUE`; can be repeated")
	flags.Var(o.git, "git", "make a repository of it, a `WORD`: none, init, or commit for init and a first commit")
	flags.BoolVarP(&o.yes, "yes", "y", false, "take the defaults for what is not given")
	flags.BoolVar(&o.noInput, "no-input", false, "never ask")
	o.planFlags.define(flags)

	completeFlag(cmd, "transport", append(featuresOf(templates.Transport), none)...)
	completeFlag(cmd, "database", append(featuresOf(templates.Database), none)...)
	completeFlag(cmd, "component", append(featuresOf(templates.Component), none)...)
	completeFlag(cmd, "deploy", append(featuresOf(templates.Deploy), none)...)
	completeFlag(cmd, "preset", presetNames()...)
	completeFlag(cmd, "git", o.git.words...)
}

// newProject writes the project.
func newProject(cmd *cobra.Command, con *console, opts *newOptions) error {
	ctx := cmd.Context()
	spec, err := opts.spec(ctx, con, cmd.Flags().Changed)
	if err != nil {
		return err
	}
	begin := time.Now()
	plan, err := generator.New(spec)
	if err != nil {
		return err
	}
	plan.Root = opts.root(spec)
	if err := opts.carryOut(ctx, plan); err != nil {
		return err
	}
	took := time.Since(begin)
	if !opts.dryRun {
		if err := repository(ctx, plan.Root, opts.git.word); err != nil {
			return err
		}
	}
	return opts.done(plan, con.print(opts.describe("new", "created", plan), opts.text(con, plan, took)))
}

// root is the folder of the project, as the working directory sees it.
func (o *newOptions) root(spec generator.Spec) string {
	if o.dir != "" {
		return filepath.Clean(o.dir)
	}
	return spec.Name
}

// text tells a person what new did, and what to type next.
func (o *newOptions) text(con *console, plan *generator.Plan, took time.Duration) string {
	var b strings.Builder
	if o.diff {
		b.WriteString(con.colored(plan.Diff(), con.stdout))
	}
	if con.quiet {
		return b.String()
	}
	bytes := 0
	for _, file := range plan.Files {
		bytes += len(file.After)
		if con.verbose || o.dryRun {
			fmt.Fprintf(&b, "%s %s\n", o.would("create", "created"), filepath.Join(plan.Root, filepath.FromSlash(file.Path)))
		}
	}
	fmt.Fprintf(&b, "%s %s: %s, %s, in %d ms\n", o.would("create", "created"), plan.Root,
		count(len(plan.Files), "file"), size(bytes), took.Milliseconds())
	if !o.dryRun {
		b.WriteString("\nnext:\n")
		for _, line := range next(con, plan) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return b.String()
}

// next are the commands that bring the daemon of a fresh project to life.
func next(con *console, plan *generator.Plan) []string {
	name, dir := plan.Spec.Name, plan.Root
	if con.chdir != "" && !filepath.IsAbs(dir) {
		dir = filepath.Join(con.chdir, dir)
	}
	if strings.HasPrefix(dir, "-") {
		dir = "./" + dir
	}
	return []string{
		commandLine("cd", dir),
		commandLine("go", "build", "-o", "bin/"+name, "./cmd/"+name),
		commandLine("bin/"+name, "--config", "configs/"+name+".toml", "start"),
	}
}

// again is the command line that writes the same project without a question.
func (o *newOptions) again(con *console, spec generator.Spec) string {
	words := []string{"daemongen"}
	if con.chdir != "" {
		words = append(words, "-C", con.chdir)
	}
	words = append(words, "new", spec.Name, "--module", spec.Module)
	if spec.Preset != "" {
		words = append(words, "--preset", spec.Preset)
	}
	if o.dir != "" {
		words = append(words, "--dir", o.dir)
	}
	words = append(words, "--transport", orNone(spec.Transports), "--database", orNone([]string{spec.Database}))
	if len(spec.Components) > 0 {
		words = append(words, "--component", strings.Join(spec.Components, ","))
	}
	if len(spec.Deploy) > 0 {
		words = append(words, "--deploy", strings.Join(spec.Deploy, ","))
	}
	words = append(words, "--user", spec.User)
	if spec.Group != "" {
		words = append(words, "--group", spec.Group)
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Set)) {
		words = append(words, "--set", key+"="+spec.Set[key])
	}
	if o.git.word != none {
		words = append(words, "--git", o.git.word)
	}
	return commandLine(append(words, "--no-input")...)
}

// orNone joins names for a flag.
func orNone(names []string) string {
	if list := strings.Join(names, ","); list != "" {
		return list
	}
	return none
}
