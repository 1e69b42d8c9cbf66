package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"example.com/fee/internal/leftout"
)

func TestFindDirs(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/home/x/state")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	want := Dirs{Name: "x", Run: "/run/user/7/x", State: "/home/x/state/x", Log: "/home/x/state/x/log"}
	if os.Geteuid() == 0 {
		want = Dirs{Name: "x", Run: "/run/x", State: "/var/lib/x", Log: "/var/log/x"}
	}
	if got, err := FindDirs(Dirs{Name: "x"}); err != nil || got != want {
		t.Errorf("by default: %+v, %v; want %+v", got, err, want)
	}
	t.Setenv("RUNTIME_DIRECTORY", "/run/s")
	t.Setenv("STATE_DIRECTORY", "/var/lib/s:/var/lib/s2")
	t.Setenv("LOGS_DIRECTORY", "/var/log/s")
	want = Dirs{Name: "x", Run: "/run/s", State: "/var/lib/s", Log: "/var/log/s"}
	if got, err := FindDirs(Dirs{Name: "x"}); err != nil || got != want {
		t.Errorf("under systemd: %+v, %v; want %+v", got, err, want)
	}
	want.Run = "/elsewhere"
	if got, err := FindDirs(Dirs{Name: "x", Run: "/elsewhere"}); err != nil || got != want {
		t.Errorf("as told: %+v, %v; want %+v", got, err, want)
	}
}

// Pitfall 22: what the caller's umask is does not show.
func TestMakeDirs(t *testing.T) {
	base := t.TempDir()
	for n, umask := range []int{0o000, 0o077} {
		before := syscall.Umask(umask)
		dir := filepath.Join(base, string(rune('a'+n)), "x")
		d := Dirs{Name: "x", Run: dir + "/run", State: dir + "/state", Log: dir + "/log"}
		err := d.Make(nil)
		syscall.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]fs.FileMode{dir: 0o755, d.Run: 0o755, d.State: 0o750, d.Log: 0o750} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("umask %#o: %s is %v, %v; want mode %#o", umask, path, info, err, mode)
			}
		}
	}
}

func TestRunDirThatOthersMayWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []fs.FileMode{0o775, 0o757, 0o777 | fs.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		err := Dirs{Name: "x", Run: dir, State: dir, Log: dir}.Make(nil)
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("mode %v: %v, want it refused", mode, err)
		}
	}
}

func TestLookupIdentity(t *testing.T) {
	if id, err := LookupIdentity("root", ""); err != nil || id.UID != 0 || id.GID != 0 {
		t.Errorf("root: %+v, %v", id, err)
	}
	if id, err := LookupIdentity("0", "12345"); err != nil || id.Name != "root" || id.GID != 12345 {
		t.Errorf("0: %+v, %v", id, err)
	}
	if id, err := LookupIdentity("54321", "12345"); err != nil || id.UID != 54321 || id.GID != 12345 || len(id.Groups) != 0 {
		t.Errorf("a number without an entry: %+v, %v", id, err)
	}
	for _, c := range [][2]string{{"no-such-user", ""}, {"root", "no-such-group"}, {"54321", ""}, {"-1", "0"}, {"4294967295", "0"}} {
		if id, err := LookupIdentity(c[0], c[1]); err == nil {
			t.Errorf("%q: %+v, want an error", c, id)
		}
	}
}

// Pitfall 1: of several who make a directory at the same time, nobody sees it before
// it has its mode and owner.
func TestMakeDirAtOnce(t *testing.T) {
	owner := &Identity{UID: os.Geteuid(), GID: os.Getegid()}
	if leftout.IsRoot() {
		owner = &Identity{UID: 12345, GID: 12345}
	}
	defer syscall.Umask(syscall.Umask(0o077))
	base := t.TempDir()
	for round := range 200 {
		path := filepath.Join(base, strconv.Itoa(round), "x")
		var makers sync.WaitGroup
		for range 4 {
			makers.Go(func() {
				if err := makeDir(path, 0o750, owner); err != nil {
					t.Error(err)
				}
				for path, mode := range map[string]fs.FileMode{path: 0o750, filepath.Dir(path): 0o755} {
					info, err := os.Stat(path)
					if err != nil || info.Mode() != fs.ModeDir|mode {
						t.Errorf("%s: %v, %v", path, info, err)
						return
					}
					if uid := int(info.Sys().(*syscall.Stat_t).Uid); mode == 0o750 && uid != owner.UID {
						t.Errorf("%s belongs to %d, not to %d", path, uid, owner.UID)
					}
				}
			})
		}
		makers.Wait()
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 1 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	}
}
