// Package process is the life of the process: how it leaves the terminal,
// gives up its rights, holds the lock that makes it the only one, is told of by
// its pidfile, talks to its own commands, and is stopped.
//
// One mechanism serves all changes from one process to the next, a [Handover]:
// the starter leaves the locked pidfile, the control socket, the listeners and
// the readiness pipe, already open, to the daemon that replaces it.
package process

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Stage says what a process that was handed something is to do with it.
type Stage string

const (
	// Command: nothing was handed over, a person or a script called.
	Command Stage = ""
	// detaching: leader of a new session, starts the daemon and ends, so that
	// the daemon can't acquire a terminal (daemon(7), steps 5 to 8).
	detaching Stage = "detaching"
	// Detached: the daemon, started by the command start.
	Detached Stage = "detached"
	// Foreground: the daemon, in the process that a supervisor has started.
	Foreground Stage = "foreground"
	// Delegated: the command that root called, going on as the service's user.
	Delegated Stage = "delegated"
)

// Names of the descriptors of a handover; those of listeners are made by
// [Sockets].
const (
	fdPidfile       = "pidfile"
	fdControl       = "control"
	fdReady         = "ready"
	fdConfiguration = "configuration"
	fdNotify        = "notify"
	fdProgram       = "program" // which is executed by it
)

// handoverVariable says that something is handed over, and which descriptor has
// the JSON of the Handover. It is in a file, as /proc shows the environment to
// others.
const handoverVariable = "DAEMON_HANDOVER"

// firstHanded is the first descriptor that is not a standard one.
const firstHanded = 3

// Handover is what one process leaves to the one that takes its place.
type Handover struct {
	Stage    Stage         `json:"stage"`
	Program  string        `json:"program"`        // absolute path of the executable file, as it was started
	Config   string        `json:"config"`         // absolute path of the configuration file
	Dirs     Dirs          `json:"dirs"`           // as the starter found them
	Umask    int           `json:"umask"`          // of the daemon
	User     *Identity     `json:"user,omitempty"` // whom the daemon runs as; nil: no change
	Rights   Rights        `json:"rights"`         // what the daemon may do and use
	Settings []string      `json:"settings"`       // the variables of the service, as in os.Environ; nil: they are in the environment
	Watchdog time.Duration `json:"watchdog"`       // how often a supervisor wants a sign of life; 0: never
	Names    []string      `json:"names"`          // of what is handed over, open
	Numbers  []int         `json:"numbers"`        // of the descriptors, as long as Names; set on the way

	// Of an upgrade: the process that hands over goes on until this one is
	// ready, at which it is the next Generation of the configuration.
	Upgraded   bool `json:"upgraded,omitempty"`
	Generation int  `json:"generation,omitempty"`

	// Predecessors are the processes that were the daemon before it, by pid, the
	// last one last; those that are alive serve the peers that they have.
	Predecessors []int `json:"predecessors,omitempty"`

	// Kept says that the process which a supervisor has started stays, and
	// stands for the daemon, whichever process that is by then.
	Kept bool `json:"kept,omitempty"`

	files []*os.File // parallel to Names
}

// Inherit returns what was handed to this process, by another one of this
// program or by a supervisor that passes sockets, and takes it out of the
// environment. All descriptors above the standard three are closed on exec from
// then on, and those that nobody handed over deliberately can't reach a child.
// It must be called once, before anything is opened, by the main goroutine.
func Inherit() (*Handover, error) {
	if err := closeOnExecFrom(firstHanded); err != nil {
		return nil, fmt.Errorf("mark inherited descriptors: %w", err)
	}
	h := &Handover{Stage: Command}
	text, ok := os.LookupEnv(handoverVariable)
	if !ok {
		err := h.takeFromSupervisor()
		return h, err
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", handoverVariable, err)
	}
	if err := os.Unsetenv(handoverVariable); err != nil {
		return nil, err
	}
	document := os.NewFile(uintptr(number), "handover")
	defer func() { _ = document.Close() }()
	if _, err := document.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("what was handed over: %w", err)
	}
	if err := json.NewDecoder(document).Decode(h); err != nil {
		return nil, fmt.Errorf("what was handed over: %w", err)
	}
	if len(h.Numbers) != len(h.Names) {
		return nil, fmt.Errorf("what was handed over: %d descriptors for %d names", len(h.Numbers), len(h.Names))
	}
	for i, name := range h.Names {
		h.files = append(h.files, os.NewFile(uintptr(h.Numbers[i]), name))
	}
	if program := h.Take(fdProgram); program != nil {
		_ = program.Close()
	}
	return h, nil
}

// LookupEnv is os.LookupEnv for the variables of the service, which are kept
// out of the environment of the daemon and its jobs: they may hold secrets.
func (h *Handover) LookupEnv(name string) (value string, ok bool) {
	if h.Settings == nil {
		return os.LookupEnv(name)
	}
	for _, variable := range h.Settings {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// Add hands f on under name; Close closes it here.
func (h *Handover) Add(name string, f *os.File) {
	h.Names = append(h.Names, name)
	h.files = append(h.files, f)
}

// AddPidfile hands on the pidfile with its lock, and takes it over from the
// caller.
func (h *Handover) AddPidfile(p *Pidfile) { h.Add(fdPidfile, p.file) }

// ClearPidfile empties the pidfile that is being handed on.
func (h *Handover) ClearPidfile() error {
	return h.files[slices.Index(h.Names, fdPidfile)].Truncate(0)
}

// Take returns the descriptor of that name, or nil; it is the caller's then.
func (h *Handover) Take(name string) *os.File {
	i := slices.Index(h.Names, name)
	if i < 0 {
		return nil
	}
	f := h.files[i]
	h.Names = slices.Delete(h.Names, i, i+1)
	h.files = slices.Delete(h.files, i, i+1)
	return f
}

// Close closes every descriptor that is still there.
func (h *Handover) Close() {
	for _, f := range h.files {
		_ = f.Close()
	}
	h.Names, h.files = nil, nil
}

// document writes h to a file, for a process in which the descriptors have the
// numbers.
func (h *Handover) document(numbers []int) (*os.File, error) {
	h.Numbers = numbers
	file, err := memoryFile("handover")
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(file).Encode(h); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// withHandover returns env with the number of the descriptor of the document.
func withHandover(env []string, number int) []string {
	return append(slices.Clone(env), fmt.Sprintf("%s=%d", handoverVariable, number))
}

// spawn starts a program with h, by default this one again, and stderr as its
// standard error, and returns without waiting.
func (h *Handover) spawn(path string, env []string, stderr *os.File, sys *syscall.SysProcAttr) (*os.Process, error) {
	// In the child: the standard descriptors, the document, and what it names.
	numbers := make([]int, len(h.files))
	for i := range numbers {
		numbers[i] = firstHanded + 1 + i
	}
	document, err := h.document(numbers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = document.Close() }()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()

	// The child gets the signal mask of the thread that forks: an empty one,
	// whatever the caller had blocked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := clearSignalMask()
	if err != nil {
		return nil, err
	}
	defer restore()
	return os.StartProcess(path, os.Args, &os.ProcAttr{
		Dir:   "/",
		Env:   withHandover(env, firstHanded),
		Files: append([]*os.File{null, null, stderr, document}, h.files...),
		Sys:   sys,
	})
}
