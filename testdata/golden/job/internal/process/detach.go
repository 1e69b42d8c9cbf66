package process

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// Detach starts the daemon that h describes, in a session of its own that it
// doesn't lead, without a terminal, and waits until it reports. It returns the
// daemon's pid once the daemon is ready; else *DiedError, or ErrNotReady: then
// the daemon may still be there and is the caller's to end.
//
// The program runs twice more: the first leads the new session, gives up the
// rights by starting the second as h.User, and ends; the second is the daemon
// and has never been privileged.
func Detach(h *Handover, env []string, wait time.Duration) (pid int, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = read.Close() }()
	h.Stage = detaching
	h.Add(fdReady, write)
	leader, err := h.spawn(program(), env, write, &syscall.SysProcAttr{Setsid: true})
	_ = write.Close()
	h.Take(fdReady)
	if err != nil {
		return 0, err
	}
	started := time.Now()
	if _, err := leader.Wait(); err != nil {
		return 0, err
	}
	report, err := awaitReport(read, wait-time.Since(started))
	return report.PID, err
}

// ContinueDetach is what a process in the middle of Detach does instead of
// anything else; the caller exits with the code that it returns. For any other
// process it returns false.
func (h *Handover) ContinueDetach() (code int, ok bool) {
	if h.Stage != detaching {
		return 0, false
	}
	if err := h.startDaemon(); err != nil {
		ready := &Readiness{h.Take(fdReady)}
		// With nobody to read the report there is nobody else to tell.
		_ = ready.Failed(err, codeOf(err))
		return 1, true
	}
	return 0, true
}

// startDaemon starts the daemon from the leader of its session.
func (h *Handover) startDaemon() error {
	if err := h.Rights.impose(h.User); err != nil {
		return err
	}
	IgnoreEarly()
	h.Stage = Detached
	// A group of its own, by which others see that who is in it is the daemon's.
	sys := &syscall.SysProcAttr{Setpgid: true}
	if h.User != nil {
		// Groups, gid, uid, in this order; a failure of any is ours.
		sys.Credential = h.User.credential()
	}
	h.Rights.keepCapabilities(sys)
	stderr := h.files[slices.Index(h.Names, fdReady)]
	_, err := h.spawn(program(), os.Environ(), stderr, sys)
	return h.explain(err)
}

// explain says more of an error in becoming the daemon: the program has to be
// executable for its user as well.
func (h *Handover) explain(err error) error {
	if errors.Is(err, os.ErrPermission) && h.User != nil {
		return fmt.Errorf("user %s may not run this program, see its mode: %w", h.User, err)
	}
	return err
}

// codeOf is the exit code for an error of the start: 4 when rights are missing.
func codeOf(err error) int {
	if errors.Is(err, os.ErrPermission) {
		return 4
	}
	return 1
}

// Pidfile takes over the pidfile, with its lock, from the starter.
func (h *Handover) Pidfile() *Pidfile {
	return &Pidfile{file: h.Take(fdPidfile), path: h.Dirs.Pidfile()}
}

// Readiness takes over the pipe to the starter; nil if there is none.
func (h *Handover) Readiness() *Readiness {
	pipe := h.Take(fdReady)
	if pipe == nil {
		return nil
	}
	return &Readiness{pipe}
}
