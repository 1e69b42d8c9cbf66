//go:build !linux

package process

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// impose sets the limits of resources. These systems have no capabilities, and
// no such sandbox.
func (r Rights) impose(*Identity) error {
	if len(r.Writable) > 0 {
		return errors.New("daemon.sandbox: there is none on this system, only on Linux")
	}
	if err := setLimit(unix.RLIMIT_CORE, r.Core); err != nil {
		return fmt.Errorf("limit core files: %w", err)
	}
	if r.NoFile == 0 {
		return nil
	}
	if err := setLimit(unix.RLIMIT_NOFILE, r.NoFile); err != nil {
		return fmt.Errorf("limit open descriptors: %w", err)
	}
	return nil
}

func (r Rights) keepCapabilities(*syscall.SysProcAttr) {}

func (r Rights) become(user *Identity) error {
	if user == nil {
		return nil
	}
	return user.become()
}

// Missing returns all capabilities: here are none.
func (r Rights) Missing() []int { return r.Capabilities }

// Verify does nothing here: become has looked already, and the call reaches all
// threads on these systems.
func (h *Handover) Verify() error { return nil }
