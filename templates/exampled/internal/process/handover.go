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
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
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
)

// Names of the descriptors that every handover has; listeners are named by
// their address, see [Sockets].
const (
	fdPidfile       = "pidfile"
	fdControl       = "control"
	fdReady         = "ready"
	fdConfiguration = "configuration"
)

// handoverVariable carries the JSON of the Handover. The descriptors it names
// are those from 3 on, in order.
const handoverVariable = "DAEMON_HANDOVER"

// Handover is what one process leaves to the one that takes its place.
type Handover struct {
	Stage  Stage     `json:"stage"`
	Config string    `json:"config"`         // absolute path of the configuration file
	Dirs   Dirs      `json:"dirs"`           // as the starter found them
	Umask  int       `json:"umask"`          // of the daemon
	User   *Identity `json:"user,omitempty"` // whom the daemon runs as; nil: no change
	Names  []string  `json:"names"`          // of the descriptors from 3 on

	files []*os.File // parallel to Names
}

// Inherit returns what was handed to this process and takes it out of the
// environment. All descriptors above the standard three are closed on exec from
// then on, and those that nobody handed over deliberately can't reach a child.
// It must be called once, before anything is opened.
func Inherit() (*Handover, error) {
	if err := closeOnExecFrom(3); err != nil {
		return nil, fmt.Errorf("mark inherited descriptors: %w", err)
	}
	h := &Handover{Stage: Command}
	text, ok := os.LookupEnv(handoverVariable)
	if !ok {
		return h, nil
	}
	if err := os.Unsetenv(handoverVariable); err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", handoverVariable, err)
	}
	for i, name := range h.Names {
		h.files = append(h.files, os.NewFile(uintptr(3+i), name))
	}
	return h, nil
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

// environ returns env with the handover laid in.
func (h *Handover) environ(env []string) ([]string, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return append(env, handoverVariable+"="+string(text)), nil
}

// spawn starts this program again with the descriptors of h and stderr as its
// standard error, and returns without waiting.
func (h *Handover) spawn(env []string, stderr *os.File, sys *syscall.SysProcAttr) (*os.Process, error) {
	env, err := h.environ(env)
	if err != nil {
		return nil, err
	}
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

	program, err := program()
	if err != nil {
		return nil, err
	}
	return os.StartProcess(program, os.Args, &os.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: append([]*os.File{null, null, stderr}, h.files...),
		Sys:   sys,
	})
}

// Environ returns the part of the caller's environment that a daemon keeps:
// the locale, the time zone, limits of the runtime, and the variables of the
// service itself, which begin with prefix. LD_PRELOAD, GODEBUG and secrets of
// the caller's session stay behind.
func Environ(prefix string, as *Identity) []string {
	keep := map[string]bool{
		"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "LANG": true, "TZ": true, "TMPDIR": true,
		"GOMAXPROCS": true, "GOMEMLIMIT": true, "GOGC": true, "GORACE": true,
	}
	if as != nil {
		keep["HOME"], keep["USER"], keep["LOGNAME"] = false, false, false
	}
	var env []string
	for _, variable := range os.Environ() {
		key, _, _ := strings.Cut(variable, "=")
		if keep[key] || strings.HasPrefix(key, "LC_") || strings.HasPrefix(key, prefix) {
			env = append(env, variable)
		}
	}
	if as != nil {
		env = append(env, "HOME="+as.Home, "USER="+as.Name, "LOGNAME="+as.Name)
	}
	return env
}
