package main

// daemongen help, and --help with every command.

import (
	"slices"

	"github.com/spf13/cobra"
)

// manual is what stands above the list of commands.
const manual = `daemongen writes daemons in Go, adds features to those that it wrote, and verifies
that they keep what they promise.

Each flag can be given in the environment as well, --dry-run as DAEMONGEN_DRY_RUN=1.
What is typed counts before the environment, that before the answers of --from,
and those before what is asked on a terminal.

Exit codes: 0 done, or nothing to do; 1 failed; 2 usage, unknown name, missing or
invalid answer; 3 refused, it would overwrite; 5 the result is not sound; 6 this
machine lacks something; 70 a bug of daemongen; 130 and 143 interrupted.`

// helped is what help prints with --json.
type helped struct {
	outcome
	Topic string `json:"topic"`
	Text  string `json:"text"`
}

// helpCommand returns the command help.
func helpCommand(con *console) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "explain daemongen, or one of its commands",
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return commandNames(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic := cmd.Root()
			for _, word := range args {
				i := slices.IndexFunc(topic.Commands(), func(c *cobra.Command) bool { return c.Name() == word })
				if i < 0 {
					return unknownCommand(topic, word)
				}
				topic = topic.Commands()[i]
			}
			return con.help(topic)
		},
	}
}

// help prints what there is to know about a command.
func (c *console) help(topic *cobra.Command) error {
	topic.InitDefaultHelpFlag()
	text := topic.Long
	if text == "" {
		text = topic.Short
	}
	text += "\n\n" + topic.UsageString()
	return c.print(helped{outcome{Command: "help"}, topic.CommandPath(), text}, text)
}

// commandNames are the commands below a command that a person would type.
func commandNames(parent *cobra.Command) []string {
	var names []string
	for _, c := range parent.Commands() {
		if !c.Hidden {
			names = append(names, c.Name())
		}
	}
	return names
}
