package accept

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Pitfall 29: the user of the service, whose folder it is, has put something else in
// the place of the socket, before it is opened or after that.
func TestExchanged(t *testing.T) {
	dir := folder(t)
	path, victim := filepath.Join(dir, "s"), filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	exchange := func() {
		t.Helper()
		if err := errors.Join(os.Rename(path, filepath.Join(dir, "moved")), os.Symlink(victim, path)); err != nil {
			t.Fatal(err)
		}
	}
	listen(t, path)
	f := open(t, path)
	exchange()
	_, _ = f.Chmod(0o666), f.Chown(4711, 4712)
	if _, err := OpenFile(path); err == nil {
		t.Error("a link was opened")
	}
	left := open(t, filepath.Join(dir, "moved"))
	if uid, gid := left.Owner(); os.Geteuid() == 0 && (uid != 4711 || gid != 4712) {
		t.Errorf("the socket is of user %d, group %d", uid, gid)
	}
	info, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	if uid, gid := (&File{info: info}).Owner(); uid != os.Geteuid() || gid != os.Getegid() || info.Mode().Perm() != 0o600 {
		t.Errorf("the victim is of user %d, group %d, mode %v", uid, gid, info.Mode())
	}
}
