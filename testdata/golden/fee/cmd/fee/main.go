// Command fee is the service and the commands to run it:
//
//	fee [--config F] [--run-dir R] [--json] [--quiet] COMMAND [flags]
//
// fee help lists the commands. This package translates between a person or
// a supervisor and the service: words, flags, signals and exit codes.
package main

import (
	"os"

	"example.com/fee/configs"
	"example.com/fee/internal/daemon"
	"example.com/fee/internal/process"
	"example.com/fee/internal/wire"
)

// name of the service, its files, and its section of the environment.
const name = "fee"

func main() {
	os.Exit(run())
}

// run is the command that a person has given, or, in a process that such a
// command has started, the service.
func run() int {
	process.NameProcess(name)
	h, err := process.Inherit()
	if err != nil {
		printf(os.Stderr, "%s: %v\n", name, err)
		return exitFailed
	}
	if code, ok := h.ContinueDetach(); ok {
		return code
	}
	if h.Stage != process.Command && h.Stage != process.Delegated {
		return serve(h)
	}
	return execute(h, os.Args[1:], os.Stdout, os.Stderr)
}

// serve runs the service until it is told to stop.
func serve(h *process.Handover) int {
	signals := process.Notify(h.Stage == process.Foreground)
	p := parts()
	p.LookupEnv = h.LookupEnv
	err := daemon.Run(p, h, signals)
	if err != nil && h.Stage == process.Foreground {
		printf(os.Stderr, "%s: foreground: %v\n", name, err)
	}
	return exitCode(err)
}

// parts are what this service is put together from.
func parts() daemon.Parts {
	return daemon.Parts{
		Name:       name,
		Version:    version(),
		Transports: wire.Transports,
		Databases:  wire.Databases,
		BuiltIn:    configs.Default,
		Settings:   newSettings,
		Handler:    newHandler,
		Reload:     handlerReload,
	}
}
