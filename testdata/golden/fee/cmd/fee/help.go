package main

import (
	"fmt"
	"io"
	"strings"
)

// command is one thing that can be asked for.
type command struct {
	name    string
	flags   string // its own, as help shows them; a line for each form
	summary string

	// run returns the exit code, or an error and the code for it; 0 then
	// stands for the code of the error itself.
	run func(*call) (int, error)
}

// commands are all of them, in the order in which help lists them.
func commands() []command {
	return []command{
		{"start", "[--wait 30s]", "start the daemon and wait until it is ready", (*call).start},
		{"foreground", "", "run the service in this process, for a supervisor or a look", (*call).foreground},
		{"stop", "[--timeout 30s] [--no-kill]", "drain and end the daemon, kill it at the deadline", (*call).stop},
		{"restart", "[--timeout 30s] [--no-kill] [--wait 30s]", "check the configuration, then stop and start", (*call).restart},
		{"try-restart", "[--timeout 30s] [--no-kill] [--wait 30s]", "restart the daemon if it runs", (*call).tryRestart},
		{"reload", "[--timeout 10s]", "have the daemon read its configuration again, all of it or nothing", (*call).reload},
		{"force-reload", "[--timeout 30s] [--no-kill] [--wait 30s]", "reload, or restart where a change needs that", (*call).forceReload},
		{"reopen", "[--timeout 10s]", "have the daemon open its log anew, after a rotation", (*call).reopen},
		{"upgrade", "[--binary B] [--wait 30s]", "have another executable take over, without losing a connection", (*call).upgrade},
		{"status", "[--ready]", "tell whether the daemon runs and how it does", (*call).status},
		{"deadletters", deadLettersUsage, "work with the messages that failed for good", (*call).deadLetters},
		{"check", "", "check the configuration and change nothing", (*call).check},
		{"migrate", "", "bring the database up to date, whether the daemon runs or not", (*call).migrate},
		{"dump", "", "write what the daemon is doing at the moment to a file, and print its path", (*call).dump},
		{"version", "", "print the version", (*call).printVersion},
		{"help", "[COMMAND]", "print this, or what a command takes", (*call).help},
	}
}

// find returns the command of that name.
func find(name string) (command, bool) {
	for _, command := range commands() {
		if command.name == name {
			return command, true
		}
	}
	return command{}, false
}

func (c *call) help() (int, error) {
	flags := c.flags("help")
	if err := parseFlags(flags, c.args); err != nil {
		return 0, err
	}
	switch flags.NArg() {
	case 0:
		printUsage(c.stdout)
		return exitOK, nil
	case 1:
		command, ok := find(flags.Arg(0))
		if !ok {
			return 0, usageError{fmt.Sprintf("help: unknown command %q", flags.Arg(0))}
		}
		printHelp(c.stdout, command)
		return exitOK, nil
	}
	return 0, usageError{"help: takes one command"}
}

// printUsage lists what can be asked for.
func printUsage(w io.Writer) {
	printf(w, "usage: %s [--config F] [--run-dir R] [--json] [--quiet] COMMAND [flags]\n\ncommands:\n", name)
	for _, command := range commands() {
		printf(w, "  %-12s %s\n", command.name, command.summary)
	}
}

// printHelp tells of one command.
func printHelp(w io.Writer, command command) {
	before := "usage:"
	for form := range strings.Lines(command.flags + "\n") {
		printf(w, "%s %s %s %s", before, name, command.name, form)
		before = "      "
	}
	printf(w, "\n%s\n", command.summary)
}
