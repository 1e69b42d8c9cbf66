package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Exec replaces this process, which stays the same for its supervisor, by the
// daemon that h describes, or by the same command as the daemon's user: no code
// of the service ever runs with the rights of the caller, or in its environment.
// It returns only if it fails.
func (h *Handover) Exec(stage Stage, env []string) error {
	h.Stage = stage
	if err := h.Rights.impose(h.User); err != nil {
		return err
	}
	if err := h.Rights.become(h.User); err != nil {
		return err
	}
	return h.explain(h.execute(os.Args, env))
}

// execute replaces this process by the same program, which is given h.
func (h *Handover) execute(args, env []string) error {
	if _, err := clearSignalMask(); err != nil {
		return err
	}
	// Each gets another number that is free: what stands at the low ones may be
	// the runtime's own, and in use until the last moment.
	var numbers []int
	for _, f := range h.files {
		number, err := duplicateAbove(f.Fd())
		if err != nil {
			return err
		}
		numbers = append(numbers, number)
	}
	document, err := h.document(numbers)
	if err != nil {
		return err
	}
	number, err := duplicateAbove(document.Fd())
	if err != nil {
		return err
	}
	for _, fd := range append(numbers, number) {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return fmt.Errorf("execute again: %w", unix.Exec(program(), args, withHandover(env, number)))
}

// RedirectStderr makes f the standard error of this process, so that what the
// runtime says of a crash gets there; nil: the null device.
func RedirectStderr(f *os.File) error {
	if f == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer func() { _ = null.Close() }()
		f = null
	}
	return duplicate(int(f.Fd()), 2)
}

// duplicateFile returns another descriptor of the open file.
func duplicateFile(f *os.File) (*os.File, error) {
	fd, err := duplicateAbove(f.Fd())
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// duplicateAbove returns another descriptor, above the standard ones, which is
// closed on exec.
func duplicateAbove(fd uintptr) (int, error) {
	return unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, firstHanded)
}
