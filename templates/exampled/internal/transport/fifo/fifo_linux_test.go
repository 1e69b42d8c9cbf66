package fifo

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

// Who retires with half a line reads the rest of it, and leaves what follows whole.
func TestRetireWithinLine(t *testing.T) {
	dir := t.TempDir()
	q := &settle{}
	s := serve(t, newTransport(t, dir, nil), q)
	file, err := os.OpenFile(fifoIn(dir), os.O_RDWR|unix.O_NONBLOCK, 0) // as the process does that takes over
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteString("be"); err != nil {
		t.Fatal(err)
	}
	transporttest.Poll(t, "it is read", func() bool { return unread(t, file) == 0 })
	s.Retire()
	if _, err := file.WriteString("gun\nnext\n"); err != nil {
		t.Fatal(err)
	}
	s.Wait()
	// A read that had begun may have taken all.
	got := append(q.sorted(), strings.Fields(string(readAll(t, file)))...)
	if !slices.Equal(got, []string{"begun", "next"}) {
		t.Errorf("lines %q", got)
	}
}

// A fifo that can't be read ends the service: one that is deaf must not look healthy.
func TestReadFails(t *testing.T) {
	tr := newTransport(t, t.TempDir(), nil)
	unreadable, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unreadable.Close() }()
	raw, err := tr.reader.pipe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.Dup3(int(unreadable.Fd()), int(fd), unix.O_CLOEXEC) })
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	if err := serve(t, tr, &settle{}).Err(); !errors.Is(err, unix.EBADF) {
		t.Errorf("serving ended with %v, want that the fifo can't be read", err)
	}
}

// readAll reads what is in the pipe.
func readAll(t *testing.T, file *os.File) []byte {
	t.Helper()
	buffer := make([]byte, unread(t, file))
	if _, err := io.ReadFull(file, buffer); err != nil {
		t.Fatal(err)
	}
	return buffer
}

// unread is how many bytes are in the pipe.
func unread(t *testing.T, file *os.File) int {
	t.Helper()
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := -1
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
