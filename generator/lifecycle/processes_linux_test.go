package lifecycle

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Pitfall 4: of the processes in the system only those are ours whose program is
// in our folder, and only they can be signalled.
func TestBelow(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ours, beside := filepath.Join(dir, "bin", "sleep"), filepath.Join(dir, "binary", "sleep")
	var pids []int
	for _, path := range []string{ours, beside} {
		if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, program, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		pids = append(pids, cmd.Process.Pid)
	}
	bin := filepath.Dir(ours)
	if got := below(bin); len(got) != 1 || got[0] != pids[0] {
		t.Fatalf("below %s run %v, want %d", bin, got, pids[0])
	}
	for _, pid := range []int{pids[1], os.Getpid(), 1, 0, -1} {
		if err := signalBelow(pid, bin, syscall.Signal(0)); err == nil {
			t.Errorf("pid %d could be signalled", pid)
		}
	}
	if err := os.Remove(ours); err != nil {
		t.Fatal(err)
	}
	endBelow(bin)
	if alive(pids[0]) || !alive(pids[1]) {
		t.Errorf("ours runs: %v, want false; the other runs: %v, want true", alive(pids[0]), alive(pids[1]))
	}
}
