//go:build !linux

package nonblock

import "syscall"

// Other systems want their calls made by their library.

func read(fd uintptr, b []byte) (int, error) { return atLeastNone(syscall.Read(int(fd), b)) }

func write(fd uintptr, b []byte) (int, error) { return atLeastNone(syscall.Write(int(fd), b)) }

// atLeastNone has it that no number of bytes is negative.
func atLeastNone(n int, err error) (int, error) { return max(n, 0), err }
