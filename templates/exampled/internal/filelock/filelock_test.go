package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What an open file has locked, another one of the same file can't have, and shared
// locks go together.
func TestLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	one, other := open(t, path), open(t, path)
	want(t, "the first", true)(Try(one))
	want(t, "again, by its holder", true)(Try(one))
	want(t, "another", false)(Try(other))
	want(t, "another, shared", false)(TryShared(other))

	want(t, "shared, by its holder", true)(TryShared(one))
	want(t, "another, shared as well", true)(TryShared(other))
	want(t, "one of two", false)(Try(other))

	if err := errors.Join(Unlock(one), Unlock(one), Unlock(other)); err != nil {
		t.Error(err)
	}
	want(t, "after both", true)(Try(other))
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, "after it is closed", true)(Try(one))
}

// A folder can be locked as a file can.
func TestFolder(t *testing.T) {
	path := t.TempDir()
	var opened [2]*os.File
	for i := range opened {
		var err error
		if opened[i], err = os.Open(path); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = opened[i].Close() }()
	}
	want(t, "a folder", true)(Try(opened[0]))
	want(t, "by another", false)(Try(opened[1]))
}

func TestClosed(t *testing.T) {
	file := open(t, filepath.Join(t.TempDir(), "lock"))
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := Try(file); ok || err == nil {
		t.Errorf("of a closed file: %v, %v", ok, err)
	}
	if err := Unlock(file); err == nil {
		t.Error("a closed file was unlocked")
	}
}

// A pipe keeps its deadlines when it is locked.
func TestDeadlineIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }()
	want(t, "a pipe", true)(Try(pipe))
	if err := pipe.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read after its deadline: %v", err)
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func want(t *testing.T, what string, locked bool) func(bool, error) {
	t.Helper()
	return func(ok bool, err error) {
		t.Helper()
		if ok != locked || err != nil {
			t.Errorf("%s: %v, %v", what, ok, err)
		}
	}
}
