//go:build !linux && !freebsd

package process

import (
	"errors"
	"syscall"
)

// setLimit limits a resource, to as much as there is for who is not the
// super-user.
func setLimit(resource int, to uint64) error {
	err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: to, Max: to})
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	var present syscall.Rlimit
	if err := syscall.Getrlimit(resource, &present); err != nil {
		return err
	}
	limit := min(to, present.Max)
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit})
}
