package mail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each mail is a file when Send returns, whole, for the service alone, and with nothing
// left beside it; the same mail is the same file.
func TestSpool(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "spool")
	spool, err := OpenSpool(folder)
	if err != nil {
		t.Fatal(err)
	}
	var mails []Mail
	for i := range 100 {
		mails = append(mails, New([]byte("x"), fmt.Sprint("key ", i), defaults))
	}
	broken := 42
	mails[broken] = New([]byte("To: nobody\n\nx"), "key 42", defaults)
	for range 2 {
		for i, err := range spool.Send(t.Context(), mails) {
			if (err != nil) != (i == broken) {
				t.Errorf("mail %d: %v", i, err)
			}
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != len(mails)-1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for i, m := range mails {
		if i == broken {
			continue
		}
		name := filepath.Join(folder, m.ID+".eml")
		text, err := os.ReadFile(name)
		if err != nil || string(text) != string(m.Text) {
			t.Errorf("%s has %q, %v", name, text, err)
		}
		if info, err := os.Stat(name); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %s", name, info.Mode())
		}
	}
}

// A folder that takes nothing is no mail's fault, and leaves no file behind.
func TestSpoolFails(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "spool")
	spool, err := OpenSpool(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	mails := []Mail{New([]byte("x"), "", defaults)}
	var unavailable interface{ Unavailable() bool }
	if err := spool.Send(t.Context(), mails)[0]; !errors.As(err, &unavailable) || !unavailable.Unavailable() || !strings.Contains(err.Error(), folder) {
		t.Errorf("%v", err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, mails[0].ID+".eml"), 0o700); err != nil { // in the way
		t.Fatal(err)
	}
	if err := spool.Send(t.Context(), mails)[0]; !errors.As(err, &unavailable) {
		t.Errorf("%v", err)
	}
	if files, err := os.ReadDir(folder); len(files) != 1 || err != nil {
		t.Errorf("%d files are left, %v", len(files), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := spool.Send(ended, mails)[0]; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestOpenSpool(t *testing.T) {
	if _, err := OpenSpool("/dev/null/spool"); err == nil {
		t.Error("no error for a folder that can't be made")
	}
	if _, err := OpenSpool("/proc/self"); err == nil || !strings.Contains(err.Error(), "must be writable") {
		t.Errorf("a folder that can't be written to: %v", err)
	}
}
