package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/fee/internal/config"
	"example.com/fee/internal/daemon"
	"example.com/fee/internal/process"
)

// Exit codes are those of LSB 3.1.1 for init scripts; 150 to 199 are there for
// the application.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitPermission   = 4
	exitConfig       = 6
	exitNotRunning   = 7
	exitNotReady     = 150
	exitStillRunning = 151

	// Of status alone.
	exitDead    = 1
	exitStopped = 3
	exitUnknown = 4
)

// call is one command as it was given, with what all commands share.
type call struct {
	command command
	config  string // path given by --config; empty: the default
	runDir  string // path given by --run-dir; empty: as configured
	json    bool
	quiet   bool
	builtIn bool     // run with the built-in configuration
	args    []string // flags and arguments of the command
	place   string   // run directory, once it is known

	inherited      *process.Handover // what a supervisor has passed
	stdout, stderr io.Writer
}

// usageError is a call that can't be understood.
type usageError struct{ reason string }

func (e usageError) Error() string { return e.reason }

// execute carries out a call and returns its exit code.
func execute(inherited *process.Handover, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stdout, stderr)
	c.inherited = inherited
	if errors.Is(err, flag.ErrHelp) {
		printUsage(stdout)
		return exitOK
	}
	var code int
	if err == nil {
		code, err = c.command.run(c)
	}
	if errors.Is(err, flag.ErrHelp) {
		printHelp(stdout, c.command)
		return exitOK
	}
	if usage := (usageError{}); errors.As(err, &usage) {
		if usage.reason != "" {
			printf(stderr, "%s: %s\n", name, usage.reason)
		}
		printUsage(stderr)
		return exitUsage
	}
	if err != nil {
		return c.fail(err, code)
	}
	return code
}

// parse takes the call apart: what all commands share may stand before the
// command and after it.
func parse(args []string, stdout, stderr io.Writer) (*call, error) {
	c := &call{stdout: stdout, stderr: stderr}
	flags := c.flags(name)
	if err := parseFlags(flags, args); err != nil {
		return c, err
	}
	if flags.NArg() == 0 {
		return c, usageError{}
	}
	command, ok := find(flags.Arg(0))
	if !ok {
		return c, usageError{fmt.Sprintf("unknown command %q", flags.Arg(0))}
	}
	c.command, c.args = command, flags.Args()[1:]
	return c, nil
}

// flags returns a set with what all commands share.
func (c *call) flags(command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&c.config, "config", c.config, "configuration `file`")
	flags.StringVar(&c.runDir, "run-dir", c.runDir, "`directory` of the pidfile and the control socket")
	flags.BoolVar(&c.json, "json", c.json, "print the result as a JSON object")
	flags.BoolVar(&c.quiet, "quiet", c.quiet, "print failures only")
	return flags
}

func parseFlags(flags *flag.FlagSet, args []string) error {
	err := flags.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	return usageError{err.Error()}
}

// parseArgs reads the flags of a command, which takes no further arguments.
func (c *call) parseArgs(flags *flag.FlagSet) error {
	if err := parseFlags(flags, c.args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Sprintf("%s: unexpected argument %q", c.command.name, flags.Arg(0))}
	}
	return nil
}

// configFile is the absolute path of the configuration file, and whether
// somebody has named it.
func (c *call) configFile() (path string, named bool, err error) {
	path = c.config
	if path == "" {
		path = os.Getenv(parts().EnvPrefix() + "CONFIG")
	}
	if named = path != ""; !named {
		if path, err = process.DefaultConfig(name); err != nil {
			return "", false, fmt.Errorf("where the configuration is: %w", err)
		}
	}
	path, err = filepath.Abs(path)
	return path, named, err
}

// allowBuiltIn has the service run with the built-in configuration if nobody has
// named another and none is installed.
func (c *call) allowBuiltIn() error {
	file, named, err := c.configFile()
	if err != nil || named {
		return err
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return nil // it is there, or load says what is wrong with it
	}
	c.builtIn = true
	c.warn(fmt.Sprintf("there is no %s: running with the built-in configuration", file))
	return nil
}

// load reads the configuration, and finds the directories that follow from it.
func (c *call) load() (*daemon.Configuration, process.Dirs, error) { return c.loadWith(parts()) }

// skipSecret leaves secrets alone that are in files. Who only wants to know where
// a daemon is need not be somebody who may read them.
func skipSecret(string) ([]byte, error) { return nil, config.ErrSkip }

func (c *call) loadWith(parts daemon.Parts) (*daemon.Configuration, process.Dirs, error) {
	file, _, err := c.configFile()
	if err != nil {
		return nil, process.Dirs{}, err
	}
	if c.builtIn {
		file = ""
	}
	configuration, err := daemon.LoadConfiguration(parts, file, nil)
	if err != nil {
		return nil, process.Dirs{}, err
	}
	dirs, err := c.dirs(configuration)
	return configuration, dirs, err
}

func (c *call) dirs(configuration *daemon.Configuration) (process.Dirs, error) {
	dirs := process.Dirs{Name: name, Run: c.runDir, State: string(configuration.Daemon.StateDir)}
	if dirs.Run == "" {
		dirs.Run = string(configuration.Daemon.RunDir)
	}
	dirs, err := process.FindDirs(dirs)
	c.place = dirs.Run
	return dirs, err
}

// locate finds the directories of a daemon that may be running, for commands
// that must work whatever became of the configuration since it started.
func (c *call) locate() (process.Dirs, error) {
	parts := parts()
	parts.ReadSecret = skipSecret
	_, dirs, err := c.loadWith(parts)
	if err == nil {
		return dirs, nil
	}
	runDir := c.runDir
	if runDir == "" {
		runDir = os.Getenv(parts.EnvPrefix() + "DAEMON_RUN_DIR")
	}
	usual, dirsErr := process.FindDirs(process.Dirs{Name: name, Run: runDir})
	if dirsErr != nil {
		return usual, dirsErr
	}
	c.place = usual.Run
	if runDir != "" || errors.Is(err, fs.ErrNotExist) {
		return usual, nil
	}
	// The broken file may name another run directory. It does not matter if
	// the daemon is found in the usual place.
	if instance, findErr := process.Find(usual.Pidfile()); findErr == nil && instance.Running {
		instance.Close()
		return usual, nil
	}
	return usual, err
}

// exitCode is the exit code for an error.
func exitCode(err error) int {
	died := (*process.DiedError)(nil)
	switch {
	case errors.As(err, &died):
		return died.Code
	case errors.Is(err, process.ErrNotReady):
		return exitNotReady
	case errors.Is(err, process.ErrStillRunning):
		return exitStillRunning
	case errors.Is(err, errNotRunning):
		return exitNotRunning
	}
	code := daemon.ExitCode(err)
	if code == exitFailed && errors.Is(err, fs.ErrPermission) {
		return exitPermission
	}
	return code
}

// causes splits an error into its lines: one, or one a problem of the
// configuration.
func causes(err error) []string {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []string{strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	var lines []string
	for _, problem := range problems {
		lines = append(lines, problem.String())
	}
	return lines
}
