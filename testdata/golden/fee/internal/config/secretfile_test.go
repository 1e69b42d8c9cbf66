package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeSecret writes a file into a folder and returns its path.
func writeSecret(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A secret has the value of the first of its sources, and of no other.
func TestSecretSources(t *testing.T) {
	dir := t.TempDir()
	one, two := writeSecret(t, dir, "one", "from file one\n"), writeSecret(t, dir, "two", "from file two")
	credentials := t.TempDir()
	writeSecret(t, credentials, "worker.password", "from a credential\r\n")
	with := func(variables ...string) map[string]string {
		m := make(map[string]string)
		for i := 0; i < len(variables); i += 2 {
			m[variables[i]] = variables[i+1]
		}
		return m
	}
	named := "password_file = '" + one + "'\n"
	for _, test := range []struct {
		name, text string
		variables  map[string]string
		want       string
	}{
		{"none", "", nil, "by default"},
		{"document", "password = 'from the document'\n", nil, "from the document"},
		{"credential before document", "password = 'from the document'\n", with("CREDENTIALS_DIRECTORY", credentials), "from a credential"},
		{"credential by default", "", with("CREDENTIALS_DIRECTORY", credentials), "from a credential"},
		{"another's credentials", "password = 'from the document'\n", with("CREDENTIALS_DIRECTORY", dir), "from the document"},
		{"file before credential", named, with("CREDENTIALS_DIRECTORY", credentials), "from file one"},
		{"no file is named", "password = 'from the document'\npassword_file = ''\n", nil, "from the document"},
		{"no value beside a file", "password = ''\n" + named, nil, "from file one"},
		{"file of the environment", named, with("TEST_WORKER_PASSWORD_FILE", two), "from file two"},
		{"file of the environment before document", "password = 'from the document'\n", with("TEST_WORKER_PASSWORD_FILE", two), "from file two"},
		{"no file by the environment", named, with("TEST_WORKER_PASSWORD_FILE", ""), "by default"},
		{"environment", named, with("TEST_WORKER_PASSWORD", "from the environment", "TEST_WORKER_PASSWORD_FILE", two, "CREDENTIALS_DIRECTORY", credentials), "from the environment"},
		{"environment alone does not look", "password_file = '/nonsense'\n", with("TEST_WORKER_PASSWORD", ""), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			tables, worker := newTables()
			worker.Password = "by default"
			file := write(t, "[worker]\n"+test.text)
			if err := Load(file, environ(test.variables), tables); err != nil {
				t.Fatal(err)
			}
			if got := worker.Password.Reveal(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// What a secret holds is taken as it is, but for the end of its line.
func TestSecretContents(t *testing.T) {
	for text, want := range map[string]string{
		"a\n":                                   "a",
		"a\r\n":                                 "a",
		"a\n\n":                                 "a\n",
		" a\tb ":                                " a\tb ",
		"-----BEGIN\nx\n":                       "-----BEGIN\nx",
		strings.Repeat("x", MaxSecret):          strings.Repeat("x", MaxSecret),
		strings.Repeat("x", MaxSecret-1) + "\n": strings.Repeat("x", MaxSecret-1),
	} {
		tables, worker := newTables()
		file := write(t, "[worker]\npassword_file = 'secret'\n")
		writeSecret(t, filepath.Dir(file), "secret", text)
		if err := Load(file, environ(nil), tables); err != nil {
			t.Fatal(err)
		}
		if got := worker.Password.Reveal(); got != want {
			t.Errorf("a file of %d bytes: got %d bytes, want %d", len(text), len(got), len(want))
		}
	}
}

// A section that is not there asks for no file, and no credential makes it be
// there; the environment does.
func TestSecretOfAbsentSection(t *testing.T) {
	type section struct {
		unchecked
		Password Secret `toml:"password"`
	}
	credentials := t.TempDir()
	writeSecret(t, credentials, "database.mysql.password", "x")
	for _, test := range []struct {
		variables map[string]string
		present   bool
		want      string
	}{
		{map[string]string{"CREDENTIALS_DIRECTORY": credentials}, false, ""},
		{map[string]string{"TEST_DATABASE_MYSQL_PASSWORD_FILE": filepath.Join(credentials, "database.mysql.password")}, true, "x"},
	} {
		mysql := &section{}
		tables, _ := newTables()
		table := &Table{Name: "database.mysql", Section: mysql}
		if err := Load(write(t, "[worker]\n"), environ(test.variables), append(tables, table)); err != nil {
			t.Fatal(err)
		}
		if table.Present != test.present || mysql.Password.Reveal() != test.want {
			t.Errorf("%v: present %t with %q, want %t with %q", test.variables, table.Present, mysql.Password.Reveal(), test.present, test.want)
		}
	}
}

// What is wrong with the file of a secret is said at the place that names it,
// and never what it holds.
func TestSecretBroken(t *testing.T) {
	const marker = "MARKER"
	dir := t.TempDir()
	empty := writeSecret(t, dir, "empty", "\n")
	large := writeSecret(t, dir, "large", strings.Repeat(marker, MaxSecret/len(marker)+1))
	good := writeSecret(t, dir, "good", marker)
	missing := filepath.Join(dir, "missing")
	credentials := t.TempDir()
	credential := writeSecret(t, credentials, "worker.password", "")
	for _, test := range []struct {
		name, text string
		variables  map[string]string
		want       string
	}{
		{"missing", "password_file = '" + missing + "'\n", nil, "2:1: worker.password_file: " + missing + " can't be read: no such file or directory"},
		{"directory", "\npassword_file = '" + dir + "'\n", nil, "3:1: worker.password_file: " + dir + " can't be read: is a directory"},
		{"device", "password_file = '/dev/null'\n", nil, "2:1: worker.password_file: /dev/null can't be read: is not a regular file"},
		{"empty", "password_file = '" + empty + "'\n", nil, "2:1: worker.password_file: " + empty + " is empty"},
		{"large", "password_file = '" + large + "'\n", nil, "2:1: worker.password_file: " + large + " is larger than 64KiB"},
		{"two", "password = 'MARKER'\npassword_file = '" + good + "'\n", nil, "3:1: worker.password_file: excludes the key password, which has a value as well"},
		{"type", "password_file = 1\n", nil, "2:1: worker.password_file: must be a string, is an integer"},
		{"spelling", "pasword_file = 'MARKER'\n", nil, "2:1: worker.pasword_file: unknown key; did you mean password_file?"},
		{"environment", "", map[string]string{"TEST_WORKER_PASSWORD_FILE": empty}, "environment variable TEST_WORKER_PASSWORD_FILE: worker.password_file: " + empty + " is empty"},
		{"credential", "password = 'MARKER'\n", map[string]string{"CREDENTIALS_DIRECTORY": credentials}, "credential " + credential + ": worker.password: is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tables, _ := newTables()
			file := write(t, "[worker]\n"+test.text)
			err := Load(file, environ(test.variables), tables)
			if got := problemLines(t, err, file); !slices.Equal(got, []string{test.want}) {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
			// It is not the configuration that is missing.
			if err != nil && strings.Contains(err.Error(), marker) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// isLong has something against a secret, wherever it is from.
type isLong struct {
	Password Secret `toml:"password"`
}

func (s *isLong) Validate(report func(key, reason string)) {
	if s.Password != "" {
		report("password", "is too long")
	}
}

// What is wrong with the secret itself is said where its file is named.
func TestSecretInvalid(t *testing.T) {
	secret := writeSecret(t, t.TempDir(), "secret", "x")
	for _, test := range []struct {
		text      string
		variables map[string]string
		want      string
	}{
		{"\npassword = 'x'\n", nil, "3:1: worker.password: is too long"},
		{"\npassword_file = '" + secret + "'\n", nil, "3:1: worker.password: is too long"},
		{"", map[string]string{"TEST_WORKER_PASSWORD_FILE": secret}, "environment variable TEST_WORKER_PASSWORD_FILE: worker.password: is too long"},
	} {
		file := write(t, "[worker]\n"+test.text)
		err := Load(file, environ(test.variables), []*Table{{Name: "worker", Section: &isLong{}}})
		if got := problemLines(t, err, file); !slices.Equal(got, []string{test.want}) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// Who may not read a secret is told who has to be able to.
func TestSecretDenied(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: "/x", Err: fs.ErrPermission}, ": permission denied; whoever starts"},
		{ErrSkip, ""},
	} {
		tables, worker := newTables()
		worker.Password = "by default"
		options := environ(nil)
		options.ReadSecret = func(string) ([]byte, error) { return nil, test.err }
		err := Load(write(t, "[worker]\npassword_file = '/x'\n"), options, tables)
		if test.want == "" {
			if err != nil || worker.Password != "by default" {
				t.Errorf("skipped: %v, %q", err, worker.Password.Reveal())
			}
		} else if err == nil || !strings.Contains(err.Error(), "worker.password_file: /x can't be read by ") || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v", err)
		}
	}
}

// isMissed has something against a secret that is not there.
type isMissed struct {
	Password Secret `toml:"password"`
}

func (s *isMissed) Validate(report func(key, reason string)) {
	if s.Password == "" {
		report("password", "must not be empty")
	}
}

// Of a secret that is not looked at nobody says that it is missing.
func TestSkippedSecretIsNotMissed(t *testing.T) {
	options := environ(nil)
	options.ReadSecret = func(string) ([]byte, error) { return nil, ErrSkip }
	for text, want := range map[string]bool{"password_file = '/x'\n": true, "": false} {
		file := write(t, "[worker]\n"+text)
		if err := Load(file, options, []*Table{{Name: "worker", Section: &isMissed{}}}); (err == nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A reload sees that a file holds another secret.
func TestSecretChanged(t *testing.T) {
	load := func(text string) []*Table {
		tables, _ := newTables()
		file := write(t, "[worker]\npassword_file = 'secret'\n")
		writeSecret(t, filepath.Dir(file), "secret", text)
		if err := Load(file, environ(nil), tables); err != nil {
			t.Fatal(err)
		}
		return tables
	}
	if all, _ := Changed(load("one"), load("two\n")); !slices.Equal(all, []string{"worker.password"}) {
		t.Errorf("changed: %v", all)
	}
	if all, _ := Changed(load("one"), load("one\n")); len(all) > 0 {
		t.Errorf("changed: %v", all)
	}
}

// A key of the section's own that is called like the file of a secret is left to
// the section.
func TestSecretWithOwnFile(t *testing.T) {
	own := &struct {
		unchecked
		DB struct {
			Token     Secret `toml:"token"`
			TokenFile string `toml:"token_file"`
		} `toml:"db"`
	}{}
	file := write(t, "[db]\ntoken = \"a\"\ntoken_file = \"b\"\n")
	if err := Load(file, environ(nil), []*Table{{Section: own}}); err != nil {
		t.Fatal(err)
	}
	if own.DB.Token.Reveal() != "a" || own.DB.TokenFile != "b" {
		t.Errorf("got %q and %q", own.DB.Token.Reveal(), own.DB.TokenFile)
	}
}
