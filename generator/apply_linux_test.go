package generator

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk leaves nothing of a new project, whenever it is full.
func TestDiskFull(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	for kib := 4; ; kib += 12 {
		mount := t.TempDir()
		if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
			t.Skip("only root can mount a small file system: ", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(mount, syscall.MNT_DETACH) })
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
