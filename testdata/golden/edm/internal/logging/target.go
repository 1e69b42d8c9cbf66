// The file, pipe, socket or terminal that takes the lines.

package logging

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a reader may keep a writer waiting before lines are
	// dropped. It is granted once; afterwards lines are dropped at once until
	// the reader takes something.
	patience = time.Second

	// pipeBuf is how much can be written without blocking to a pipe, socket or
	// terminal that says it takes something: PIPE_BUF of Linux and a page.
	pipeBuf = 4096
)

// errStalled is why nothing was written: nobody reads.
var errStalled = errors.New("the reader of the log has stopped")

// target writes by its descriptor, and not through an *os.File: a write by that
// to the closed pipe of descriptor 2 would end the process.
type target struct {
	file     *os.File // nil: standard error
	fd       int
	canBlock bool // whoever reads decides how fast it goes; not so on disks
	patience time.Duration
	stalled  bool
}

// openTarget opens a file, or standard error for "".
func openTarget(path string) (*target, error) {
	if path == "" {
		return newTarget(nil, 2), nil
	}
	// Without O_NONBLOCK to open a pipe waits for its reader, and without
	// O_NOCTTY a terminal can become that of the service.
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE |
		unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	file, err := os.OpenFile(path, flags, 0o640)
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EMLINK):
		return nil, fmt.Errorf("%w: a symbolic link is not followed", err)
	case err != nil:
		return nil, err
	}
	return newTarget(file, int(file.Fd())), nil
}

func newTarget(file *os.File, fd int) *target {
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	isRegular := err == nil && stat.Mode&unix.S_IFMT == unix.S_IFREG
	return &target{file: file, fd: fd, canBlock: !isRegular, patience: patience}
}

// write returns how many bytes it wrote, and an error if that is not all. It
// gives up when the reader makes it wait too long.
func (t *target) write(line []byte) (n int, err error) {
	for n < len(line) {
		part := line[n:]
		if t.canBlock {
			part = part[:min(len(part), pipeBuf)]
			if err := t.wait(); err != nil {
				return n, err
			}
		}
		written, err := unix.Write(t.fd, part)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, err
		case written == 0:
			return n, io.ErrShortWrite
		default:
			n += written
		}
	}
	return n, nil
}

// wait returns once the reader takes something, or an error when it has not for
// too long.
func (t *target) wait() error {
	left := t.patience
	if t.stalled {
		left = 0
	}
	deadline := time.Now().Add(left)
	for {
		poll := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLOUT}}
		ready, err := unix.Poll(poll, int(left.Milliseconds()))
		switch {
		case err == unix.EINTR:
			left = max(0, time.Until(deadline))
		case err != nil:
			return err
		default:
			t.stalled = ready == 0
			if t.stalled {
				return errStalled
			}
			return nil
		}
	}
}

// close closes the file; standard error stays open.
func (t *target) close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
