package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Dirs are the places of a service, all absolute.
type Dirs struct {
	Name  string `json:"name"`  // of the service
	Run   string `json:"run"`   // pidfile and control socket; the starter's own
	State string `json:"state"` // what has to last; the service's user writes here
	Log   string `json:"log"`   // likewise
}

// Pidfile is NAME.pid in the run directory.
func (d Dirs) Pidfile() string { return filepath.Join(d.Run, d.Name+".pid") }

// Socket is the control socket, NAME.sock in the run directory.
func (d Dirs) Socket() string { return filepath.Join(d.Run, d.Name+".sock") }

// RemoveSocket removes the control socket, for who holds the lock of the pidfile.
func (d Dirs) RemoveSocket() error {
	err := os.Remove(d.Socket())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Down is the mark of an admin who wants the service to stay down, NAME.down in
// the run directory.
func (d Dirs) Down() string { return filepath.Join(d.Run, d.Name+".down") }

// GaveUp is the note of a watchdog that has given up to start the service again,
// NAME.gaveup in the run directory: a line with the time and the reason.
func (d Dirs) GaveUp() string { return filepath.Join(d.Run, d.Name+".gaveup") }

// LogFile is where the log goes unless the configuration says otherwise.
func (d Dirs) LogFile() string { return filepath.Join(d.Log, d.Name+".log") }

// DefaultConfig is the path of the configuration file when nobody names one.
func DefaultConfig(name string) (string, error) {
	if os.Geteuid() == 0 {
		return filepath.Join("/etc", name, name+".toml"), nil
	}
	base := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, name, name+".toml"), nil
}

// FindDirs completes the directories that d leaves empty: systemd's variables
// first, then the system's places for root and the XDG ones for a user.
func FindDirs(d Dirs) (Dirs, error) {
	root := os.Geteuid() == 0
	state, err := userStateDir(d.Name)
	if err != nil && !root && (d.Run == "" || d.State == "" || d.Log == "") {
		return d, err
	}
	d.Run = cmp.Or(d.Run, firstEntry("RUNTIME_DIRECTORY"),
		only(root, filepath.Join("/run", d.Name)),
		under(os.Getenv("XDG_RUNTIME_DIR"), d.Name), filepath.Join(state, "run"))
	d.State = cmp.Or(d.State, firstEntry("STATE_DIRECTORY"),
		only(root, filepath.Join("/var/lib", d.Name)), state)
	d.Log = cmp.Or(d.Log, firstEntry("LOGS_DIRECTORY"),
		only(root, filepath.Join("/var/log", d.Name)), filepath.Join(state, "log"))
	for _, dir := range []*string{&d.Run, &d.State, &d.Log} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return d, err
		}
	}
	return d, nil
}

// userStateDir is $XDG_STATE_HOME/name, in the home directory by default.
func userStateDir(name string) (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("where to keep state: %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, name), nil
}

func only(condition bool, value string) string {
	if !condition {
		return ""
	}
	return value
}

func under(base, name string) string {
	if !filepath.IsAbs(base) {
		return ""
	}
	return filepath.Join(base, name)
}

// firstEntry is the first of the directories that systemd.exec(5) passes in a
// variable, separated by colons.
func firstEntry(variable string) string {
	first, _, _ := strings.Cut(os.Getenv(variable), ":")
	return first
}

// Make makes the directories that are missing: the run directory for the
// starter, so that the service's user can't exchange the pidfile, the others
// for the user that the service runs as (nil: the same).
func (d Dirs) Make(user *Identity) error {
	if err := makeDir(d.Run, 0o755, nil); err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if err := checkRunDir(d.Run); err != nil {
		return err
	}
	if err := makeDir(d.State, 0o750, user); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := makeDir(d.Log, 0o750, user); err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	return nil
}

// makeDir makes path, if it is missing, with exactly this mode and owner. One
// that is there is left as its owner wants it. It appears with both: of several who
// start at the same time, the others may look at any moment whether it is there.
func makeDir(path string, mode fs.FileMode, owner *Identity) error {
	if there, err := isDir(path); there || err != nil {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDir(parent, 0o755, nil); err != nil { // for everybody to pass through
		return err
	}
	made, err := os.MkdirTemp(parent, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(made) }() // nothing is there once it was moved
	if err := os.Chmod(made, mode); err != nil {
		return err
	}
	if owner != nil {
		if err := os.Lchown(made, owner.UID, owner.GID); err != nil {
			return err
		}
	}
	if err := moveTo(made, path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	_, err = isDir(path) // another starter was faster
	return err
}

// moveIfMissing moves what is at from to a path where there was nothing a moment ago,
// for systems that can't do both at once.
func moveIfMissing(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

// isDir reports whether there is a directory at path. What else is there is an error.
func isDir(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, fmt.Errorf("%s is not a directory", path)
	}
	return true, nil
}

// checkRunDir refuses a run directory in which somebody else could put a
// pidfile or a control socket of his own.
func checkRunDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("run directory %s may be written by group or world (mode %#o): %w",
			path, info.Mode().Perm(), fs.ErrPermission)
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	if owner != os.Geteuid() && owner != 0 {
		return fmt.Errorf("run directory %s belongs to uid %d, not to uid %d who starts: %w",
			path, owner, os.Geteuid(), fs.ErrPermission)
	}
	return nil
}
