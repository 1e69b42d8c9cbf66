package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"example.com/job/internal/config"
	"example.com/job/internal/daemon"
	"example.com/job/internal/process"
)

// result is what a command has to say, as text or as JSON.
type result struct {
	Name       string       `json:"name"`
	Command    string       `json:"command"`
	Result     string       `json:"result"` // the text without the name
	PID        int          `json:"pid"`
	State      daemon.State `json:"state,omitempty"`
	Generation int          `json:"generation,omitempty"`
	Version    string       `json:"version"`
	RunDir     string       `json:"run_dir,omitempty"`
	Error      string       `json:"error,omitempty"`

	Applied []string `json:"applied,omitempty"` // migrations, of the command migrate

	Status *daemon.Status `json:"status,omitempty"` // of the command status

	// Of the command deadletters.
	Letters any            `json:"dead_letters,omitempty"` // a slice
	Dropped *int           `json:"dropped,omitempty"`
	Replay  *daemon.Replay `json:"replay,omitempty"`
}

// say prints the result of a command that did what was asked.
func (c *call) say(r result) {
	r.Name, r.Command, r.Version, r.RunDir = name, c.command.name, version(), c.place
	if c.json {
		c.printJSON(r)
		return
	}
	if !c.quiet {
		printf(c.stdout, "%s: %s\n", name, r.Result)
	}
}

// warn prints what the caller should know though the command goes on.
func (c *call) warn(message string) {
	printf(c.stderr, "%s: %s: warning: %s\n", name, c.command.name, message)
}

// fail prints why a command could not do what was asked and returns its exit
// code; 0 stands for the code of the error.
func (c *call) fail(err error, code int) int {
	if code == 0 {
		code = exitCode(err)
	}
	lines := causes(err)
	if hint := hintFor(err); hint != "" {
		lines[len(lines)-1] += " (" + hint + ")"
	}
	if c.json {
		c.printJSON(result{
			Name: name, Command: c.command.name, Result: "failed", Version: version(), RunDir: c.place,
			Error: strings.Join(lines, "\n"),
		})
		return code
	}
	for _, line := range lines {
		printf(c.stderr, "%s: %s: %s\n", name, c.command.name, line)
	}
	return code
}

// hintFor says what to do about an error, where that is not plain.
func hintFor(err error) string {
	switch {
	case errors.As(err, new(*daemon.RestartError)):
		return "try " + name + " restart"
	case errors.Is(err, process.ErrAddressInUse):
		return "ss -ltnp shows who listens there; the configuration can name another address"
	case errors.Is(err, process.ErrUnproven):
		return "the daemon is being started, or belongs to another user; try again, or as that user or root"
	case errors.As(err, new(config.Problems)) && errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("put the configuration there, or name it with --config or %sCONFIG", parts().EnvPrefix())
	}
	return ""
}

func (c *call) printJSON(r result) {
	encoder := json.NewEncoder(c.stdout)
	encoder.SetEscapeHTML(false)
	// A caller who has closed the pipe does not want the answer.
	_ = encoder.Encode(r)
}

// printf prints for a person or a script. Where that fails there is nobody left
// to be told of it.
func printf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}
