package accept

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"example.com/feed/internal/leftout"
)

func TestMain(m *testing.M) { os.Exit(leftout.Main(m)) }

// folder is a place for sockets, with a path that is short enough on every system.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "accept")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestChmod(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	listen(t, path)
	if err := open(t, path).Chmod(0o606); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o606 {
		t.Errorf("it is %v, %v", info, err)
	}
}

func TestChown(t *testing.T) {
	path := filepath.Join(folder(t), "s")
	listen(t, path)
	if err := open(t, path).Chown(os.Geteuid(), -1); err != nil {
		t.Errorf("it is so already: %v", err)
	}
	if os.Geteuid() != 0 {
		if err := open(t, path).Chown(0, 0); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("to root: %v", err)
		}
		return
	}
	if err := open(t, path).Chown(4711, 4712); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Chown(-1, 4713); err != nil {
		t.Fatal(err)
	}
	if uid, gid := open(t, path).Owner(); uid != 4711 || gid != 4713 {
		t.Errorf("it is of user %d, group %d", uid, gid)
	}
}
