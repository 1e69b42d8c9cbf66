package lifecycle

// Running a program, bounded in time, so that nothing of it is left.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// outcome is what a call of a program did.
type outcome struct {
	line           string // what was called, for a person
	code           int    // -1: a signal ended it, or it did not end
	stdout, stderr string
	err            error // why there is no exit code; nil if there is one
}

// errHung is the error of a call that was ended when its time was up.
var errHung = errors.New("did not end in time")

// outputGrace is how long the output of a program that has ended may stay open.
const outputGrace = 5 * time.Second

// execute runs a command until it ends or ctx does, and waits until its output
// is closed. It has a process group of its own: what a terminal sends to
// interrupt this program is not for its children, which are ended in order.
func execute(ctx context.Context, line string, cmd *exec.Cmd) outcome {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	// cmd was made with ctx. The group as a whole is asked to end: go test does
	// not pass it on. The leader is not reaped yet, so the group is still ours.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = outputGrace
	err := cmd.Run()
	o := outcome{line: line, code: -1, stdout: stdout.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		o.err = errHung
	case errors.Is(err, exec.ErrWaitDelay):
		o.err = errors.New("has ended, but something keeps its output open")
	case errors.As(err, &exit) && !exit.Exited():
		o.err = fmt.Errorf("was ended: %v", exit.ProcessState)
	case err != nil && !errors.As(err, &exit):
		o.err = err
	default:
		o.code = cmd.ProcessState.ExitCode()
	}
	return o
}

// said tells in one line what the call did.
func (o outcome) said() string {
	if o.err != nil {
		return fmt.Sprintf("%s: %v", o.line, o.err)
	}
	return fmt.Sprintf("%s: exit %d", o.line, o.code)
}

// String tells all there is to know about the call.
func (o outcome) String() string {
	text := o.said()
	for _, stream := range []struct{ name, text string }{{"stdout", o.stdout}, {"stderr", o.stderr}} {
		if stream.text != "" {
			text += "\n" + stream.name + ": " + strings.TrimSuffix(stream.text, "\n")
		}
	}
	return text
}

// maxExcerpt is the number of lines that are shown of an output.
const maxExcerpt = 60

// excerpt is what counts of an output: not the packages that the go command
// found well, and no more than a person reads.
func excerpt(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "?   \t") || strings.HasPrefix(line, "go: downloading ") {
			continue
		}
		lines = append(lines, line)
	}
	if len(lines) > maxExcerpt {
		last := lines[len(lines)-maxExcerpt/2:]
		lines = append(append(lines[:maxExcerpt/2:maxExcerpt/2], "…"), last...)
	}
	return strings.Join(lines, "\n")
}

// without returns the environment without the variables that drop names.
func without(env []string, drop func(name string) bool) []string {
	var kept []string
	for _, variable := range env {
		if name, _, _ := strings.Cut(variable, "="); !drop(name) {
			kept = append(kept, variable)
		}
	}
	return kept
}

// random returns a number from 0 to n-1.
func random(n int) int { return rand.IntN(n) }

// readText is the contents of a file, or why there are none.
func readText(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
