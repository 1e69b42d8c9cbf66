package deploy_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"example.com/job/internal/leftout"
)

// Logrotate renames the log as the user whom its directory belongs to, makes no
// new one, and calls the daemon as itself.
func TestLogrotate(t *testing.T) {
	t.Parallel()
	logrotate := leftout.Program(t, "logrotate")
	owner := logOwner(t)
	dir, err := os.MkdirTemp("", name+"-deploy-test-") // the owner could not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	group, err := user.LookupGroupId(owner.Gid)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(name + ".logrotate")
	if err != nil {
		t.Fatal(err)
	}
	program, logs := filepath.Join(dir, name), filepath.Join(dir, "log")
	log := filepath.Join(logs, name+".log")
	text := strings.NewReplacer(
		"/usr/local/bin/"+name, program,
		"/var/log/"+name, logs,
		"su nobody nogroup", "su "+owner.Username+" "+group.Name,
	).Replace(string(source))
	config := filepath.Join(dir, "logrotate.conf")
	calls := filepath.Join(dir, "calls")
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	for _, step := range []func() error{
		func() error { return os.Chmod(dir, 0o755) },
		func() error { return os.Mkdir(logs, 0o750) },
		// As root, and not as the owner, it would refuse a directory so open.
		func() error { return os.Chmod(logs, 0o770) },
		func() error { return os.WriteFile(log, []byte("a line\n"), 0o640) },
		func() error { return os.Chown(logs, uid, gid) },
		func() error { return os.Chown(log, uid, gid) },
		func() error { return os.WriteFile(config, []byte(text), 0o644) },
		// The daemon is down: nobody is to be told of that.
		func() error {
			return writeFile(program, "#!/bin/sh\necho \"$(id -u) $*\" >>"+calls+"\nexit 7\n", 0o755)
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}

	// It exits with 0 also for what it does not understand.
	out, err := exec.Command(logrotate, "--force", "--state", filepath.Join(dir, "state"), config).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("logrotate: %v\n%s", err, out)
	}
	if _, err := os.Stat(log); !os.IsNotExist(err) {
		t.Errorf("there is a log that the daemon has not made: %v", err)
	}
	if text, err := os.ReadFile(log + ".1"); string(text) != "a line\n" {
		t.Errorf("the rotated log is %q, %v", text, err)
	}
	want := strconv.Itoa(os.Getuid()) + " --quiet reopen\n"
	if text, err := os.ReadFile(calls); string(text) != want {
		t.Errorf("the daemon was called with %q, %v; want %q", text, err, want)
	}
}

// logOwner is the user whom the log belongs to: that of the configuration for
// root, who can act as him, else oneself.
func logOwner(t *testing.T) *user.User {
	t.Helper()
	owner, err := user.Current()
	if err == nil && owner.Uid == "0" {
		owner, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatal(err)
	}
	return owner
}
