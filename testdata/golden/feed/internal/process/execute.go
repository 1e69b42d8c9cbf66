package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Exec replaces this process, which stays the same for its supervisor, by the
// daemon that h describes, running as h.User: no code of the service ever runs
// with the rights of the caller. It returns only if it fails.
func (h *Handover) Exec(env []string) error {
	h.Stage = Foreground
	if err := h.User.become(); err != nil {
		return err
	}
	next := *h
	next.User = nil
	env, err := next.environ(env)
	if err != nil {
		return err
	}
	return h.explain(execWith(h.files, os.Args, env))
}

// execWith replaces this process by the same program with files as its
// descriptors from 3 on.
func execWith(files []*os.File, args, env []string) error {
	if err := limitRights(); err != nil {
		return err
	}
	path, err := program()
	if err != nil {
		return err
	}
	// Copies above all targets first: a target may be a source still needed.
	var copies []int
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3+len(files))
		if err != nil {
			return err
		}
		copies = append(copies, fd)
	}
	for i, fd := range copies {
		if err := duplicate(fd, 3+i); err != nil {
			return err
		}
	}
	return fmt.Errorf("execute again: %w", unix.Exec(path, args, env))
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
