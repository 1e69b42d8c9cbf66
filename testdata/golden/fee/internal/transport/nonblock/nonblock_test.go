package nonblock

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
)

// pair makes two sockets in nonblocking mode; what is written to one is read from
// the other.
func pair(t *testing.T) (in, out uintptr) {
	t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range ends {
		t.Cleanup(func() { _ = syscall.Close(end) })
		if err := syscall.SetNonblock(end, true); err != nil {
			t.Fatal(err)
		}
	}
	return uintptr(ends[0]), uintptr(ends[1])
}

func TestReadAndWrite(t *testing.T) {
	in, out := pair(t)
	buffer := make([]byte, 16)
	if n, err := Read(in, buffer); n != 0 || !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("nothing is there: read returned %d, %v", n, err)
	}
	if n, err := Write(out, []byte("TRUE")); n != 4 || err != nil {
		t.Fatalf("write returned %d, %v", n, err)
	}
	if n, err := Read(in, buffer[:3]); n != 3 || err != nil || string(buffer[:n]) != "TRU" {
		t.Errorf("read returned %d, %v: %q", n, err, buffer[:n])
	}
	if n, err := Read(in, buffer); n != 1 || err != nil || buffer[0] != 'E' {
		t.Errorf("read of the rest returned %d, %v: %q", n, err, buffer[:n])
	}
}

func TestWriteTakesWhatFits(t *testing.T) {
	in, out := pair(t)
	sent := bytes.Repeat([]byte("daemon"), 1<<20)
	n, err := Write(out, sent)
	if n <= 0 || n >= len(sent) || err != nil {
		t.Fatalf("write returned %d, %v", n, err)
	}
	for more := 0; err == nil; n += more {
		more, err = Write(out, sent[n:])
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("it is full: write returned %v", err)
	}
	received := make([]byte, len(sent))
	if got, err := Read(in, received); err != nil || !bytes.Equal(received[:got], sent[:got]) || got == 0 {
		t.Errorf("read returned %d, %v, not what was sent", got, err)
	}
}

func TestEnds(t *testing.T) {
	in, out := pair(t)
	if err := syscall.Shutdown(int(out), syscall.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if n, err := Read(in, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("at the end read returned %d, %v", n, err)
	}
	const none = 1 << 20
	if n, err := Read(none, make([]byte, 1)); n != 0 || !errors.Is(err, syscall.EBADF) {
		t.Errorf("read of no descriptor returned %d, %v", n, err)
	}
	if n, err := Write(none, make([]byte, 1)); n != 0 || !errors.Is(err, syscall.EBADF) {
		t.Errorf("write to no descriptor returned %d, %v", n, err)
	}
}
