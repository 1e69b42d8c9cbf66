package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// unixListener listens on a unix socket, and removes its file at the end unless
// another process listens on it: one that was replaced, or takes over.
type unixListener struct {
	*net.UnixListener
	path string
}

// Close stops listening. It can't remove a file from a folder that only the
// starter may write; the next start replaces it.
func (l unixListener) Close() error {
	if err := l.UnixListener.Close(); err != nil {
		return err
	}
	_ = removeStale(l.path)
	return nil
}

// forAll returns a socket as the service is to have it.
func forAll(s socket) socket {
	unix, ok := s.(*net.UnixListener)
	if !ok {
		return s
	}
	unix.SetUnlinkOnClose(false)
	path := unix.Addr().String()
	if isAbstract(path) {
		return s
	}
	return unixListener{unix, path}
}

// isAbstract reports whether a unix socket has no file, but a name as on Linux, or
// none (unix(7)).
func isAbstract(path string) bool { return path == "" || strings.HasPrefix(path, "@") }

// listenUnix listens on a path. Its file is for its owner alone, from the first
// moment on Linux, where the mode of a socket becomes that of its file (unix(7)).
// One that a dead process left is replaced.
func listenUnix(path string) (net.Listener, error) {
	if isAbstract(path) {
		return net.Listen("unix", path)
	}
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("the path has more than %d bytes, which is as much as fits into an address", maxSocketPath)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	const mode = 0o600
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), mode) }) // not on every system
	}}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	// Not what anything leads to that has taken its place. Pitfall 29.
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() == fs.ModeSocket && info.Mode().Perm() != mode {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// isSocket reports whether the file of a socket is at the path. It fails if
// anything else is.
func isSocket(path string) (bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("%s is there, and is no socket: move it out of the way", path)
	}
	return true, nil
}

// removeSocket removes the file of a socket, if there is one.
func removeSocket(path string) error {
	if there, err := isSocket(path); !there {
		return err
	}
	return os.Remove(path)
}

// removeStale removes the file of a socket that nobody listens on. It fails with
// ErrAddressInUse if somebody does, and lets alone what is no socket.
func removeStale(path string) error {
	if there, err := isSocket(path); !there {
		return err
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrAddressInUse
	case errors.Is(err, syscall.EAGAIN): // its queue is full
		return ErrAddressInUse
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("whether anybody listens on %s can't be told: %w", path, err)
}

// address completes an address to listen on: the relative path of a unix socket is
// in the run directory.
func (d Dirs) address(network, address string) string {
	if network != "unix" || isAbstract(address) || filepath.IsAbs(address) {
		return address
	}
	return filepath.Join(d.Run, address)
}
