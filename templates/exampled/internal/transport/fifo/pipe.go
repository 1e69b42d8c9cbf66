// The fifo itself.

package fifo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// A pipe is a fifo that is open.
type pipe struct {
	*os.File
	path string
}

// openPipe opens the fifo at path, and makes it if there is none. Reading and
// writing, since a fifo without writers is at its end again and again.
func openPipe(path string, mode fs.FileMode) (*pipe, error) {
	err := syscall.Mkfifo(path, uint32(mode))
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &fs.PathError{Op: "make the fifo", Path: path, Err: err}
	}
	// Non-blocking, so that reading can be interrupted; and without following a
	// link, so that nobody has the mode of another file changed.
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("open the fifo: %w", err)
	}
	p := &pipe{file, path}
	if err := p.check(mode, made); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

// check makes sure that it is a fifo, with the mode, which the umask may have
// changed. The mode of another's fifo is the other's.
func (p *pipe) check(mode fs.FileMode, made bool) error {
	info, err := p.Stat()
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return fmt.Errorf("%s is no fifo; move it away, or set another path", p.path)
	}
	if info.Mode().Perm() == mode {
		return nil
	}
	if err := p.Chmod(mode); err != nil && (made || !errors.Is(err, fs.ErrPermission)) {
		return err
	}
	return nil
}

// isAt reports whether the fifo is still what path leads to.
func (p *pipe) isAt(path string) bool {
	here, err := p.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(here, there)
}

// interrupt ends a Read that waits, and those to come.
func (p *pipe) interrupt() { _ = p.SetReadDeadline(time.Now()) }

// readNow reads what is there, without waiting: 0 bytes when nothing is.
func (p *pipe) readNow(buffer []byte) (n int, err error) {
	raw, err := p.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			n, failed = syscall.Read(int(fd), buffer)
			if failed != syscall.EINTR {
				return
			}
		}
	})
	if errors.Is(failed, syscall.EAGAIN) {
		failed = nil
	}
	return max(n, 0), errors.Join(err, failed)
}
