package process

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serveControl answers every command with its name, in a directory of dirs.
func serveControl(t *testing.T, dirs Dirs) {
	t.Helper()
	answerControl(t, dirs, func(_ context.Context, r ControlRequest) any { return r })
}

func answerControl(t *testing.T, dirs Dirs, answer func(context.Context, ControlRequest) any) {
	t.Helper()
	h := &Handover{Dirs: dirs}
	if err := h.BindControl(); err != nil {
		t.Fatal(err)
	}
	control, err := h.Control()
	if err != nil {
		t.Fatal(err)
	}
	control.Serve(answer)
	t.Cleanup(func() {
		if err := control.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Whoever is let in while the service ends is waited for, too: Close returns when no
// answer is being given, and none begins after that.
func TestControlClosesAmidRequests(t *testing.T) {
	dirs := Dirs{Name: "x", Run: t.TempDir()}
	for range 100 {
		h := &Handover{Dirs: dirs}
		if err := h.BindControl(); err != nil {
			t.Fatal(err)
		}
		control, err := h.Control()
		if err != nil {
			t.Fatal(err)
		}
		ended := false // read and written without a lock: the race detector watches it
		answered := make(chan struct{}, 1000)
		control.Serve(func(context.Context, ControlRequest) any {
			if ended {
				t.Error("an answer was given after the end")
			}
			answered <- struct{}{}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var askers sync.WaitGroup
		for range 3 {
			askers.Go(func() {
				for ctx.Err() == nil {
					_ = Ask(ctx, dirs, ControlRequest{}, new(any)) // which fails once nobody listens
				}
			})
		}
		<-answered
		if err := control.Close(); err != nil {
			t.Error(err)
		}
		ended = true
		cancel()
		askers.Wait()
	}
}

func TestControl(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long/", 40))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		dirs := Dirs{Name: "x", Run: dir}
		var reply ControlRequest
		if err := Ask(t.Context(), dirs, ControlRequest{Command: "hello"}, &reply); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("nobody listens: %v", err)
		}
		serveControl(t, dirs)
		if info, err := os.Stat(dirs.Socket()); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket is %v, %v; want mode 0600", info, err)
		}
		if err := Ask(t.Context(), dirs, ControlRequest{Command: "hello"}, &reply); err != nil || reply.Command != "hello" {
			t.Errorf("%+v, %v", reply, err)
		}
	}
}

// Pitfall 53: a socket that a killed daemon left does not block the next one.
func TestBindControlOverAStaleSocket(t *testing.T) {
	dirs := Dirs{Name: "x", Run: t.TempDir()}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: dirs.Socket(), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	serveControl(t, dirs)
	if err := Ask(t.Context(), dirs, ControlRequest{Command: "hello"}, new(ControlRequest)); err != nil {
		t.Error(err)
	}
}

func TestAskGivesUp(t *testing.T) {
	dirs := Dirs{Name: "x", Run: t.TempDir()}
	silent, err := net.Listen("unix", dirs.Socket())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := Ask(ctx, dirs, ControlRequest{Command: "hello"}, new(ControlRequest)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
}
