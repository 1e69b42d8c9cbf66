package generator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A full disk leaves nothing of a new project, whenever it is full.
func TestDiskFull(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	for kib := 4; ; kib += 12 {
		mount := mountTmpfs(t, 0, fmt.Sprintf("size=%dk", kib))
		plan.Root = filepath.Join(mount, "feed")
		err := plan.Apply(t.Context())
		if err == nil {
			sameFiles(t, "all", diskFiles(t, mount), prefixed("feed", contents(plan)))
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%d KiB: %v", kib, err)
		}
		sameFiles(t, fmt.Sprintf("%d KiB", kib), diskFiles(t, mount), map[string]string{"./": "empty folder"})
	}
}

// A folder that can't be written to is an error with its path, and no more.
func TestUnwritable(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	parent, cause := unwritableFolder(t)
	plan.Root = filepath.Join(parent, "feed")
	if err := plan.Apply(t.Context()); !errors.Is(err, cause) || !strings.Contains(err.Error(), parent) {
		t.Errorf("%v, want %v", err, cause)
	}
}

// mountTmpfs mounts a file system of its own for a test. Only root can do that;
// for anybody else the test is left out, which CI does not accept.
func mountTmpfs(t *testing.T, flags uintptr, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		leaveOut(t, "only root can mount a file system: "+err.Error())
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// unwritableFolder returns a folder that takes no new file, and the error for
// that: for root it takes a file system that is mounted for reading only.
func unwritableFolder(t *testing.T) (string, error) {
	t.Helper()
	if os.Geteuid() == 0 {
		return mountTmpfs(t, syscall.MS_RDONLY, ""), syscall.EROFS
	}
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o500); err != nil {
		t.Fatal(err)
	}
	return parent, fs.ErrPermission
}
