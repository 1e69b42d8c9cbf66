package process

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func pipe(t *testing.T) (read, write *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close(); _ = write.Close() })
	return read, write
}

func TestAwaitReport(t *testing.T) {
	read, write := pipe(t)
	go func() {
		_, _ = write.WriteString("a word from a library\n")
		_ = (&Readiness{write}).Ready()
	}()
	if report, err := awaitReport(read, time.Minute); err != nil || report.PID != os.Getpid() {
		t.Errorf("%+v, %v", report, err)
	}

	read, write = pipe(t)
	go func() { _ = (&Readiness{write}).Failed(errors.New("no room"), 6) }()
	died := (*DiedError)(nil)
	if _, err := awaitReport(read, time.Minute); !errors.As(err, &died) || died.Code != 6 || died.Cause != "no room" {
		t.Errorf("%v", err)
	}
}

// Pitfall 14: the end of the pipe is a death, not readiness, and is seen at
// once; what the dying daemon said is the cause.
func TestAwaitReportOfADeadDaemon(t *testing.T) {
	read, write := pipe(t)
	if _, err := write.WriteString("panic: out of luck\n\ngoroutine 1"); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	died := (*DiedError)(nil)
	if _, err := awaitReport(read, time.Hour); !errors.As(err, &died) || !strings.Contains(died.Cause, "panic: out of luck") {
		t.Errorf("%v", err)
	}
}

func TestAwaitReportInTime(t *testing.T) {
	read, _ := pipe(t)
	if _, err := awaitReport(read, time.Millisecond); !errors.Is(err, ErrNotReady) {
		t.Errorf("%v, want ErrNotReady", err)
	}
}
