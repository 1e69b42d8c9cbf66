package process

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// abandon leaves the file of a socket that nobody listens on, as a process does
// that is killed.
func abandon(t *testing.T, path string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := closeShared(listener); err != nil {
		t.Fatal(err)
	}
}

// Pitfall 53: the socket of a dead process blocks nobody; that of a living one,
// and what is no socket, is not touched.
func TestStaleUnixSocket(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		name  string
		there func(t *testing.T, path string)
		want  string // in the error; "": it is replaced
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"of a dead process", abandon, ""},
		{"of a living process", func(t *testing.T, path string) {
			listener, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
		}, "the address is in use"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is no socket"},
		{"a link to a socket", func(t *testing.T, path string) {
			abandon(t, path+".target")
			if err := os.Symlink(path+".target", path); err != nil {
				t.Fatal(err)
			}
		}, "is no socket"},
		{"datagrams", func(t *testing.T, path string) {
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
		}, "can't be told"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(test.name, " ", "-"))
			test.there(t, path)
			before, _ := os.Lstat(path)
			listener, err := NewSockets(&Handover{}).Listen("x", "unix", path)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v, want %s", err, test.want)
				}
				if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
					t.Errorf("what was there was touched: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the mode is %v, %v", info.Mode(), err)
			}
			if err := listener.Close(); err != nil {
				t.Error(err)
			}
			if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed twice: %v", err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file is left behind: %v", err)
			}
		})
	}
}

// The file is for its owner alone whatever the umask.
func TestUnixSocketMode(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "x.sock")
	listener, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
}

// A relative path is in the run directory, for who binds it and who serves it.
func TestUnixSocketInRunDirectory(t *testing.T) {
	dir := t.TempDir()
	h := &Handover{Dirs: Dirs{Run: dir}}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Bind("x", "unix", "file"); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file in the place of the socket: %v", err)
	}
	abandon(t, filepath.Join(dir, "x.sock"))
	bound, err := h.Bind("x", "unix", "x.sock")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "x.sock"); bound.String() != want {
		t.Errorf("bound to %s, want %s", bound, want)
	}
	sockets := NewSockets(h)
	listener, err := sockets.Listen("x", "unix", "x.sock")
	if err != nil {
		t.Fatal(err)
	}
	if listener.Addr().String() != bound.String() || len(sockets.Close()) > 0 {
		t.Errorf("listens on %s", listener.Addr())
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	_, err = sockets.Listen("x", "unix", strings.Repeat("x", 101))
	if err == nil || !strings.Contains(err.Error(), "100 bytes") {
		t.Errorf("a path that is too long: %v", err)
	}
}
