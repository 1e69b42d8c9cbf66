package main

// The root of the commands: what all of them take, where their flags come from,
// and the exit code that an error becomes.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes, beside 128 plus the number of the signal that interrupted.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
	exitInvalid = 5
	exitLacking = 6
	exitBug     = 70
)

// run is the whole program but for its end: it returns the exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	ctx, giveBack := untilSignal(context.Background())
	defer giveBack()

	con := &console{stdin: stdin, stdout: stdout, stderr: stderr, color: newChoice("auto", "always", "never")}
	root := rootCommand(con)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if errors.Is(err, context.Canceled) {
		err = context.Cause(ctx)
	}
	var reported *reportedError
	if errors.As(err, &reported) {
		return reported.code
	}
	return con.fail(cmd, err)
}

// rootCommand returns the tree of the commands, which talk to a person through
// the console.
func rootCommand(con *console) *cobra.Command {
	root := &cobra.Command{
		Use:           "daemongen",
		Short:         "write daemons in Go",
		Long:          manual,
		Args:          cobra.ArbitraryArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			return con.begin()
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return usage(`"daemongen help" lists the commands`, "no command given")
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		con.json = con.json || asksForJSON(os.Args[1:])
		if words := cmd.Flags().Args(); cmd == root && len(words) > 0 {
			return unknownCommand(cmd, words[0])
		}
		return flagError(cmd, err)
	})
	con.flags(root.PersistentFlags())
	root.AddCommand(newCommand(con), addCommand(con), listCommand(con), verifyCommand(con), versionCommand(con), completionCommand(con))
	root.SetHelpCommand(helpCommand(con))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		_ = fromEnvironment(cmd.Flags())
		_ = con.help(cmd)
	})
	return root
}

// unknownCommand is the error for a word that is not a command of the parent.
func unknownCommand(parent *cobra.Command, word string) error {
	return usage(didYouMean(word, commandNames(parent), `"daemongen help" lists the commands`), "no command %q", word)
}

// tooMany is the error for an argument that a command does not take.
func tooMany(cmd *cobra.Command, arg string) error {
	return usage("usage: "+cmd.UseLine(), "%q is too much for %q", arg, cmd.CommandPath())
}

// flagError says in our words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	help := fmt.Sprintf("%q lists the flags", strings.Replace(cmd.CommandPath(), "daemongen", "daemongen help", 1))
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return usage(help, "no flag %q", "-"+unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		word := "--" + unknown.GetSpecifiedName()
		return usage(didYouMean(word, names, help), "no flag %q", word)
	case errors.As(err, &missing):
		return usage(help, "--%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return invalidValue("--"+invalid.GetFlag().Name, invalid.GetValue(), invalid)
	}
	return usage(help, "%v", err)
}

// invalidValue is the error for a value that a flag, or the variable which
// stands for it, does not take.
func invalidValue(place, value string, err *pflag.InvalidValueError) error {
	switch v := err.GetFlag().Value.(type) {
	case *choice:
		return usage(didYouMean(value, v.words, ""), "%s: %q is not one of %s", place, value, strings.Join(v.words, ", "))
	default:
		if v.Type() == "bool" {
			return usage("", "%s: %q is neither true nor false", place, value)
		}
		return usage("", "%s: %q: %v", place, value, errors.Unwrap(err))
	}
}

// fromEnvironment sets the flags that the command line does not from their
// variables. An empty variable is none.
func fromEnvironment(flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		value := os.Getenv(name)
		if failed != nil || f.Changed || value == "" || f.Name == "help" {
			return
		}
		var invalid *pflag.InvalidValueError
		if err := flags.Set(f.Name, value); errors.As(err, &invalid) {
			failed = invalidValue(name, value, invalid)
		}
	})
	return failed
}

// variable is the name of the variable that stands for a flag.
func variable(flag string) string {
	return "DAEMONGEN_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// asksForJSON tells whether the arguments, which could not be parsed, hold
// --json; then the error has to be an object, too.
func asksForJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	for _, arg := range slices.Backward(args) {
		if arg == "--json" {
			return true
		}
		if value, ok := strings.CutPrefix(arg, "--json="); ok {
			yes, _ := strconv.ParseBool(value)
			return yes
		}
	}
	yes, _ := strconv.ParseBool(os.Getenv(variable("json")))
	return yes
}
