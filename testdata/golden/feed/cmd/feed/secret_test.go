package main

// Secrets: from where they come, who may read them, and that nobody sees them.

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"example.com/feed/internal/leftout"
)

// sum is what the handler with settings logs of a token.
func sum(token string) string {
	sum := sha256.Sum256([]byte(token))
	return fmt.Sprintf("token=[secret] sum=%x", sum[:4])
}

// tokenFile writes a file with a secret, for its owner alone, and returns its
// path. One that is there is written anew, in its place.
func (i *instance) tokenFile(name, token string) string {
	i.t.Helper()
	path := filepath.Join(i.dir, name)
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// replace puts another file in the place of the one with a secret, as editors do.
func (i *instance) replaceTokenFile(name, token string) {
	i.t.Helper()
	if err := os.Rename(i.tokenFile(name+".next", token), filepath.Join(i.dir, name)); err != nil {
		i.t.Fatal(err)
	}
}

// The first source of a secret counts, whoever asks, and the daemon has the same.
func TestSecretSources(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	good := i.defaultConfig()
	credentials := filepath.Join(i.dir, "credentials")
	if err := os.Mkdir(credentials, 0o755); err != nil {
		t.Fatal(err)
	}
	env := i.env
	started := func(want string, more ...string) {
		t.Helper()
		i.env = append(env[:len(env):len(env)], more...)
		i.want(0, `is valid`, "check")
		i.start()
		i.logs(sum(want))
		i.want(0, `stopped`, "stop")
	}
	prefix := parts().EnvPrefix()
	i.own(good, `token = "from the document"`)
	started("from the document")
	i.tokenFile("credentials/own.token", "from a credential")
	started("from a credential", "CREDENTIALS_DIRECTORY="+credentials)
	i.tokenFile("token", "from a file")
	i.own(good, `token_file = "token"`) // beside the configuration
	started("from a file", "CREDENTIALS_DIRECTORY="+credentials)
	started("from another file", prefix+"OWN_TOKEN_FILE="+i.tokenFile("other", "from another file"))
	started("from the environment", prefix+"OWN_TOKEN=from the environment", prefix+"OWN_TOKEN_FILE="+filepath.Join(i.dir, "other"))
}

// What is wrong with a secret is known before anything happens, and what it holds
// is not told.
func TestSecretProblems(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	good := i.defaultConfig()
	for lines, pattern := range map[string]string{
		`token_file = "missing"`:                          `:\d+:1: own\.token_file: /.*/missing can't be read: no such file or directory\n$`,
		`token_file = "."`:                                `:\d+:1: own\.token_file: /.* can't be read: is a directory\n$`,
		"token = \"MARKER\"\ntoken_file = \"short\"":      `:\d+:1: own\.token_file: excludes the key token, which has a value as well\n$`,
		`token_file = "short"`:                            `:\d+:1: own\.token: must have at least 4 characters\n$`,
		"token_file = \"MARKER\"\ntoken = [\"MARKER\"]\n": `:\d+:1: own\.token: must be a string, is a list\n`,
	} {
		i.tokenFile("short", "XYZ")
		i.own(good, lines)
		for _, command := range []string{"check", "start"} {
			o := i.want(6, pattern, command)
			if strings.Contains(o.stderr, "XYZ") {
				t.Errorf("%s tells the secret: %q", command, o.stderr)
			}
		}
	}
	i.writeConfig(good)
	i.wantDown()
}

// Pitfall 30: a secret that only the starter can read serves for start, reload
// and upgrade, though the daemon is another user.
func TestPrivateSecret(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	i.own(i.defaultConfig(), `token_file = "token"`)
	i.tokenFile("token", "one one")
	pid := i.start()
	i.logs(sum("one one"))
	i.tokenFile("token", "two two")
	i.want(0, `generation 2`, "reload")
	i.logs(sum("two two"))
	if !leftout.IsRoot() {
		return
	}
	// The signal leaves it to the daemon, which has the file open.
	i.tokenFile("token", "three")
	i.hangUp(pid, sum("three"))
	pid = i.upgrade()
	i.tokenFile("token", "four")
	i.hangUp(pid, sum("four"))
	// It knows of another file that it can't read it, and goes on.
	i.replaceTokenFile("token", "five")
	i.hangUp(pid, "the command reload can, as its owner")
	i.want(0, `the last reload failed`, "status")
	i.want(0, `reloaded`, "reload")
	i.logs(sum("five"))
	i.tokenFile("second", "six six")
	i.own(i.defaultConfig(), `token_file = "second"`)
	i.want(0, `reloaded`, "reload")
	i.logs(sum("six six"))
	// From then on it has these open, as it had the first.
	i.tokenFile("second", "seven")
	i.hangUp(pid, sum("seven"))
	i.replaceTokenFile("second", "eight")
	pid = i.upgrade()
	i.logs(sum("eight"))
	i.tokenFile("second", "nine")
	i.hangUp(pid, sum("nine"))
}

// Pitfall 30: certificates that are renewed are other files, to which a link leads
// then. What it led to before is as it was.
func TestPrivateSecretBehindLink(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newOwn(t)
	i.own(i.defaultConfig(), `token_file = "token"`)
	link := func(to string) {
		t.Helper()
		next := filepath.Join(i.dir, "next")
		if err := errors.Join(os.Symlink(to, next), os.Rename(next, filepath.Join(i.dir, "token"))); err != nil {
			t.Fatal(err)
		}
	}
	i.tokenFile("first", "one one")
	link("first")
	pid := i.start()
	i.logs(sum("one one"))
	i.tokenFile("second", "two two")
	link("second")
	i.hangUp(pid, "the command reload can, as its owner")
	i.want(0, `reloaded`, "reload")
	i.logs(sum("two two"))
	i.tokenFile("third", "three")
	link("third")
	pid = i.upgrade()
	i.logs(sum("three"))
	i.tokenFile("third", "four")
	i.hangUp(pid, sum("four"))
}

// Pitfall 8: root reads nobody the files of others, whatever configuration the
// daemon says that it has.
func TestSecretOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newOwn(t)
	i.own(i.defaultConfig(), `token = "one one"`)
	i.start()
	i.own(i.defaultConfig(), `token_file = "`+i.tokenFile("private", "not yours")+`"`)
	mine := i.config + ".mine"
	if err := os.WriteFile(mine, []byte(i.defaultConfig()), 0o600); err != nil {
		t.Fatal(err)
	}
	i.want(6, `own\.token_file: /.*/private can't be read by u\w+ \w+: permission denied; whoever starts or reloads`, "--config", mine, "reload")
	i.want(0, `reloaded`, "reload") // whose configuration it is
	i.logs(sum("not yours"))
}

// Nobody but the starter has to be able to read a secret: where the daemon is, and
// how it does, is told without it. Who checks is told what he may not read.
func TestSecretOfOthers(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	i := newOwn(t)
	i.own(i.defaultConfig(), `token_file = "token"`)
	i.tokenFile("token", "one one")
	pid := i.start()
	program := filepath.Join(i.dir, "program") // where others may run it
	if err := os.Link(i.program, program); err != nil {
		t.Fatal(err)
	}
	call := func(args ...string) outcome {
		cmd := i.command(args...)
		cmd.Path = program
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return i.finish(cmd)
	}
	i.check(call("check"), 6, `own\.token_file: /.*/token can't be read by (user \w+|uid 65534): permission denied; whoever starts`, "check")
	// Not from the usual place, which is not the one that the file names.
	var env []string
	for _, variable := range i.env {
		if !strings.HasPrefix(variable, parts().EnvPrefix()+"DAEMON_RUN_DIR=") {
			env = append(env, variable)
		}
	}
	i.env = env
	i.set("run_dir", `"`+filepath.Dir(i.pidfile())+`"`)
	i.check(call("status"), 0, fmt.Sprintf(`\(pid %d\)`, pid), "status")
}

// A secret is in no log, answer, dump or environment, wherever it comes from.
func TestSecretsAreNotSeen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const marker = "MARKER-7f3a"
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	env := s.env
	for n, source := range []struct{ line, variable string }{
		{line: `password = "` + marker + `"`},
		{line: `password_file = "` + s.tokenFile("password", marker) + `"`},
		{variable: parts().EnvPrefix() + "DATABASE_STORE_PASSWORD=" + marker},
	} {
		s.env = append(env[:len(env):len(env)], source.variable)
		s.writeConfig("[log]\nlevel = \"debug\"\n" + string(good) + source.line + "\n")
		var said bytes.Buffer
		run := func(args ...string) {
			o := s.run(args...)
			said.WriteString(o.stdout + o.stderr)
		}
		run("check")
		run("migrate")
		pid := s.start()
		if got, err := os.ReadFile(filepath.Join(s.dir, "state", "password")); err != nil || string(got) != marker {
			t.Fatalf("source %d: the database got %q, %v", n, got, err)
		}
		said.WriteString(s.ask("run env"))
		run("--json", "status")
		s.set("connections", fmt.Sprint(n+1))
		run("reload")
		run("--json", "reload")
		s.put("away")
		s.becomesReady(false)
		s.set("connections", "9")
		run("reload")
		run("--json", "status")
		dump := strings.TrimSpace(strings.TrimPrefix(s.want(0, `\.dump\n$`, "dump").stdout, name+": "))
		s.remove("away")
		for _, file := range []string{dump, fmt.Sprintf("/proc/%d/environ", pid), fmt.Sprintf("/proc/%d/cmdline", pid)} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			said.Write(text)
		}
		s.want(0, `stopped`, "stop")
		said.WriteString(s.log())
		for _, form := range []string{marker, base64.StdEncoding.EncodeToString([]byte(marker)), fmt.Sprintf("%x", marker)} {
			if at := strings.Index(said.String(), form); at >= 0 {
				t.Errorf("source %d: it is seen in %q", n, said.String()[max(0, at-200):at+len(form)])
			}
		}
		if !strings.Contains(said.String(), "password=[secret]") {
			t.Errorf("source %d: the log does not have what was logged of the secret", n)
		}
	}
}

// Pitfall 45: where a supervisor has put credentials is for the service to know,
// and not for its jobs.
func TestCredentialsAreNotForJobs(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	credentials := filepath.Join(s.dir, "credentials")
	if err := os.Mkdir(credentials, 0o755); err != nil {
		t.Fatal(err)
	}
	s.tokenFile("credentials/database.store.password", "from a credential")
	s.env = append(s.env, "CREDENTIALS_DIRECTORY="+credentials)
	s.start()
	for range 2 {
		if got, err := os.ReadFile(filepath.Join(s.dir, "state", "password")); err != nil || string(got) != "from a credential" {
			t.Errorf("the database got %q, %v", got, err)
		}
		if env := s.ask("run env"); strings.Contains(env, "CREDENTIALS") {
			t.Errorf("a job's program has\n%s", env)
		}
		if err := os.Remove(filepath.Join(s.dir, "state", "password")); err != nil {
			t.Fatal(err)
		}
		s.upgrade()
	}
}
