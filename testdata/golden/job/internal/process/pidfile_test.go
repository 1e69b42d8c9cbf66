package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func openPidfile(t *testing.T, path string) *Pidfile {
	t.Helper()
	p, err := OpenPidfile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.file.Close() })
	return p
}

func lock(t *testing.T, p *Pidfile, want bool) {
	t.Helper()
	if ok, err := p.Lock(); err != nil || ok != want {
		t.Fatalf("lock: %v, %v; want %v", ok, err, want)
	}
}

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	first, second := openPidfile(t, path), openPidfile(t, path)
	lock(t, first, true)
	lock(t, second, false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	lock(t, second, true)
}

// Pitfall 2: a lock on a file that is no longer in its place protects nothing.
func TestLockOfAReplacedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	replaced := openPidfile(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	lock(t, replaced, false)
	lock(t, openPidfile(t, path), true)
	lock(t, replaced, false)
}

func TestOpenPidfileRefuses(t *testing.T) {
	dir := t.TempDir()
	link, folder, victim := filepath.Join(dir, "link.pid"), filepath.Join(dir, "folder.pid"), filepath.Join(dir, "victim")
	// It would do as a pidfile, but for the link.
	if err := os.WriteFile(victim, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPidfile(link); !errors.Is(err, fs.ErrPermission) { // pitfall 7
		t.Errorf("link: %v", err)
	}
	if _, err := OpenPidfile(folder); err == nil {
		t.Error("a folder was accepted")
	}
}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pid")
	check := func(what string, running, crashed bool, pid int) {
		t.Helper()
		i, err := Find(path)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer i.Close()
		if i.Running != running || i.Crashed != crashed || i.PID != pid {
			t.Errorf("%s: %+v; want running %v, crashed %v, pid %d", what, *i, running, crashed, pid)
		}
	}
	check("no file", false, false, 0)
	p := openPidfile(t, path)
	check("empty file", false, false, 0)
	lock(t, p, true)
	if err := p.Write(); err != nil {
		t.Fatal(err)
	}
	check("running", true, false, os.Getpid())
	if err := p.Clear(); err != nil {
		t.Fatal(err)
	}
	check("running, without a hint", true, false, os.Getpid())
	// The parent holds no lock: its pid in the file is a lie.
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getppid()), 0o644); err != nil {
		t.Fatal(err)
	}
	check("running, with a wrong hint", true, false, os.Getpid())
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	check("crashed", false, true, 0)
}
