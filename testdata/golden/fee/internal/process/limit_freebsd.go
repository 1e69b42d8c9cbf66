//go:build freebsd

package process

import (
	"errors"
	"syscall"
)

// setLimit limits a resource, to as much as there is for who is not the
// super-user.
func setLimit(resource int, to uint64) error {
	err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: int64(to), Max: int64(to)})
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	var present syscall.Rlimit
	if err := syscall.Getrlimit(resource, &present); err != nil {
		return err
	}
	limit := min(int64(to), present.Max)
	return syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit})
}
