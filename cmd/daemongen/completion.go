package main

// daemongen completion: what a shell needs to complete our words.

import (
	"bytes"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// completed is what completion prints with --json.
type completed struct {
	outcome
	Shell  string `json:"shell"`
	Script string `json:"script"`
}

// completionCommand returns the command completion.
func completionCommand(con *console) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "print a script that completes words in a shell",
		Example: paragraph(
			"  source <(daemongen completion bash)",
			"  daemongen completion fish > ~/.config/fish/completions/daemongen.fish"),
		ValidArgsFunction: completeFirst(shells),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usage("the shells are "+strings.Join(shells(), ", "), "no shell given")
			case 1:
				return completion(con, cmd.Root(), args[0])
			}
			return tooMany(cmd, args[1])
		},
	}
}

// shells are the shells for which there is a script.
func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

// completion prints the script for a shell.
func completion(con *console, root *cobra.Command, shell string) error {
	scripts := map[string]func(io.Writer) error{
		"bash":       func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":        root.GenZshCompletion,
		"fish":       func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": root.GenPowerShellCompletionWithDesc,
	}
	write, ok := scripts[shell]
	if !ok {
		return usage(didYouMean(shell, shells(), "the shells are "+strings.Join(shells(), ", ")), "no shell %q", shell)
	}
	var script bytes.Buffer
	if err := write(&script); err != nil {
		return err
	}
	return con.print(completed{outcome{Command: "completion"}, shell, script.String()}, script.String())
}

// completeFirst completes the first argument of a command with the words.
func completeFirst(words func() []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes the value of a flag with the words. The flag is the
// command's own; that it exists is the only thing that can be wrong.
func completeFlag(cmd *cobra.Command, flag string, words ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err)
	}
}
