package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Report is what the daemon tells its starter through the readiness pipe: that
// it is ready, or why it can't be.
type Report struct {
	Ready bool   `json:"ready"`
	PID   int    `json:"pid"`
	Error string `json:"error,omitempty"`
	Code  int    `json:"code,omitempty"` // exit code for the starter
}

// reportPrefix tells a report from what else is written to the pipe, which is
// the daemon's standard error until it is ready: a panic, a fatal error.
const reportPrefix = "\x00report "

// Readiness is the daemon's end of the pipe to its starter. A nil Readiness
// reports to nobody: the process runs in the foreground.
type Readiness struct{ pipe *os.File }

// Ready tells the starter that everything is in place. Call it once.
func (r *Readiness) Ready() error { return r.send(Report{Ready: true, PID: os.Getpid()}) }

// Failed tells the starter why there will be no service, and with which code
// it should exit.
func (r *Readiness) Failed(err error, code int) error {
	return r.send(Report{PID: os.Getpid(), Error: err.Error(), Code: code})
}

func (r *Readiness) send(report Report) error {
	if r == nil {
		return nil
	}
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	_, err = r.pipe.WriteString(reportPrefix + string(text) + "\n")
	return errors.Join(err, r.pipe.Close())
}

// ErrNotReady means that the daemon was not ready in time; it was ended.
var ErrNotReady = errors.New("not ready in time")

// DiedError means that the daemon ended before it was ready.
type DiedError struct {
	Cause string // what it said last
	Code  int    // the exit code that it asks for
}

func (e *DiedError) Error() string { return e.Cause }

// awaitReport reads the pipe until the daemon reports, has died or the time is
// up. The end of the pipe without a report is a death, whatever its cause: the
// kernel closes it at once, also after kill -9.
func awaitReport(pipe *os.File, wait time.Duration) (Report, error) {
	if err := pipe.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return Report{}, err
	}
	var said bytes.Buffer
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		if text, ok := strings.CutPrefix(line, reportPrefix); ok {
			var report Report
			if err := json.Unmarshal([]byte(text), &report); err != nil {
				return Report{}, fmt.Errorf("report of the daemon: %w", err)
			}
			awaitRelease(pipe, lines)
			if !report.Ready {
				return report, &DiedError{Cause: report.Error, Code: report.Code}
			}
			return report, nil
		}
		said.WriteString(line)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return Report{}, ErrNotReady
		case err == io.EOF:
			return Report{}, &DiedError{Cause: lastWords(said.String()), Code: 1}
		case err != nil:
			return Report{}, fmt.Errorf("readiness pipe: %w", err)
		}
	}
}

// releaseTime is what a daemon that has reported may take to let go of the pipe.
const releaseTime = 2 * time.Second

// awaitRelease waits until the daemon has let go of the pipe: one that is ready
// then holds nothing of its starter's, and one that failed is gone, since the
// pipe is its standard error.
func awaitRelease(pipe *os.File, rest io.Reader) {
	if err := pipe.SetReadDeadline(time.Now().Add(releaseTime)); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, rest)
}

// lastWords makes one message of what a dying daemon wrote.
func lastWords(said string) string {
	said = strings.TrimSpace(said)
	if said == "" {
		return "the daemon died before it was ready"
	}
	const limit = 4000
	if len(said) > limit {
		said = said[:limit] + " …"
	}
	return "the daemon died before it was ready: " + said
}
