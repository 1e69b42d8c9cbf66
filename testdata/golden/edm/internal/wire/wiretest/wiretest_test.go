package wiretest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/edm/internal/database"
	"example.com/edm/internal/transport"
	"example.com/edm/internal/wire"
)

// What is on a server is gone from the list and from the configuration, and
// nothing else.
func TestWithoutServers(t *testing.T) {
	project := filepath.Join("..", "..", "..")
	folder := t.TempDir()
	if _, err := Overlay(folder, project, nil); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(folder, "wire.go"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(project, "configs", "*.toml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d configurations: %v", len(files), err)
	}
	before, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	after := Configuration(before)
	remote := 0
	check := func(kind, name string, gone bool) {
		t.Helper()
		if gone {
			remote++
		}
		for text, of := range map[string][]byte{`"` + name + `":`: list, "/internal/" + kind + "/" + name + `"`: list, "[" + kind + "." + name + "]": after} {
			if bytes.Contains(of, []byte(text)) == gone {
				t.Errorf("%q is there: %t, and %s is on a server: %t", text, !gone, name, gone)
			}
		}
	}
	for name, defaults := range wire.Databases {
		_, gone := defaults().(database.Remote)
		check("database", name, gone)
	}
	for name, defaults := range wire.Transports {
		_, gone := defaults().(transport.RemoteConfig)
		check("transport", name, gone)
	}
	if was, is := strings.Count(string(before), "\n["), strings.Count(string(after), "\n["); was-is != remote {
		t.Errorf("%d sections of %d are left without %d that are on a server", is, was, remote)
	}
}

// What the handler has of its own is gone from the configuration, and nothing else.
func TestWithoutOwn(t *testing.T) {
	const before = "# all\n\n# life\n[daemon]\nuser = \"x\"\n\n[transport.tcp]\nlisten = \":1\"\n"
	const own = "[db]\nhost = \"a\"\n\n# more\n[db.pool]\nsize = 1\n"
	if got := string(WithoutOwn([]byte(before + own))); got != before {
		t.Errorf("%q is left", got)
	}
	if got := string(WithoutOwn([]byte(own + before))); !strings.HasPrefix(got, "[daemon]") || !strings.HasSuffix(got, "listen = \":1\"\n") {
		t.Errorf("%q is left", got)
	}
}

// What tests rely on is as they expect it, whatever the project has by now.
func TestFixed(t *testing.T) {
	const before = "[log]\nformat = \"json\"\ndaily = true\n\n[own]\nformat = \"mine\"\n\n[transport.timer]\nevery = \"5s\"\nat_start = true\n"
	const after = "[log]\nformat = \"text\"\ndaily = false\n\n[own]\nformat = \"mine\"\n\n[transport.timer]\nevery = \"1h\"\nat_start = false\n"
	if got := string(Configuration([]byte(before))); got != after {
		t.Errorf("%q, want %q", got, after)
	}
	for section, values := range fixed {
		for key := range values {
			if !strings.Contains(string(Configuration([]byte("["+section+"]\n"+key+" = 0\n"))), values[key]) {
				t.Errorf("%s.%s stays as it is", section, key)
			}
		}
	}
}
