package main

// Which package may know which.

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/daemongen/daemongen/templates"
)

const ourselves = "github.com/daemongen/daemongen/"

// The command, the generator and the templates know each other in this order,
// and none of them the daemon that they write.
func TestImportsGoOneWay(t *testing.T) {
	for name, allowed := range map[string][]string{
		"cmd/daemongen":       {"cmd/daemongen", "generator", "generator/lifecycle", "templates"},
		"generator/lifecycle": {"generator", "generator/lifecycle", "templates"},
		"generator":           {"generator", "templates"},
		"templates":           {"templates"},
	} {
		for _, dep := range dependencies(t, ourselves+name) {
			if own, ok := strings.CutPrefix(dep, ourselves); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s depends on %s", name, own)
			}
		}
	}
}

// The libraries of the transports and databases are for the daemon. A module can be
// of use to both, as golang.org/x/crypto is, but not a package.
func TestNoLibraryOfTheDaemon(t *testing.T) {
	modules := templates.Shipped().Modules
	paths, err := fs.Glob(modules, "*.*.mod") // KIND.NAME.mod
	if err != nil || len(paths) == 0 {
		t.Fatalf("no modules of features: %v", err)
	}
	deps := dependencies(t, ourselves+"cmd/daemongen")
	imported, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ourselves+"templates/exampled/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := fs.ReadFile(modules, path)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := modfile.Parse(path, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, require := range mod.Require {
			if require.Indirect {
				continue
			}
			for _, dep := range strings.Fields(string(imported)) {
				if strings.HasPrefix(dep+"/", require.Mod.Path+"/") && slices.Contains(deps, dep) {
					t.Errorf("the command depends on %s, which is the library of %s", dep, path)
				}
			}
		}
	}
}

// dependencies are the packages that end up in a program with the package.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// The libraries that talk to a person are known to this command only, and that
// of the questions to one file of it.
func TestSurveyIsHidden(t *testing.T) {
	for _, dep := range dependencies(t, ourselves+"generator") {
		for _, library := range []string{"survey", "cobra", "pflag"} {
			if strings.Contains(dep, library) {
				t.Errorf("the generator depends on %s", dep)
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(path, "/survey/") && file != "ask.go" {
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
}
