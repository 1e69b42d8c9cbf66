package wiretest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/wire"
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
