package generator

// The rules of the two houses that no compiler checks.

import (
	"go/ast"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"text/template"
	"text/template/parse"

	"github.com/Masterminds/sprig/v3"

	"github.com/daemongen/daemongen/templates"
)

const ownModule = "github.com/daemongen/daemongen"

// goList returns what go list prints of packages of our module.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// Imports go one way: cmd/daemongen -> generator -> templates.
func TestImportsGoOneWay(t *testing.T) {
	for pkg, allowed := range map[string][]string{
		"./cmd/daemongen":       {"/cmd/daemongen", "/generator", "/generator/lifecycle", "/templates"},
		"./generator/lifecycle": {"/generator", "/generator/lifecycle", "/templates"},
		"./generator":           {"/generator", "/templates"},
		"./templates":           {"/templates"},
	} {
		for _, dep := range goList(t, "-deps", pkg) {
			if rest, own := strings.CutPrefix(dep, ownModule); own && !slices.Contains(allowed, rest) {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}

// The program that generates has none of the libraries of what it generates. A
// module can be of use to both, as golang.org/x/crypto is, but not a package.
func TestNoLibrariesOfFeatures(t *testing.T) {
	src, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	packages := goList(t, "-deps", "./cmd/daemongen")
	imported := goList(t, "-f", `{{join .Imports "\n"}}`, "./templates/exampled/...")
	for ref, needs := range src.needs {
		for _, r := range needs.modules {
			for _, pkg := range imported {
				if !r.Indirect && strings.HasPrefix(pkg+"/", r.Mod.Path+"/") && slices.Contains(packages, pkg) {
					t.Errorf("cmd/daemongen has %s in it, which is for the %v", pkg, ref)
				}
			}
		}
	}
}

// The generator knows of no command line: it has no flags, prompts or colours.
func TestGeneratorKnowsNoCommandLine(t *testing.T) {
	for _, dep := range goList(t, "-deps", "./generator", "./generator/lifecycle") {
		for _, library := range []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/AlecAivazis/", "golang.org/x/tools/", "golang.org/x/term"} {
			if strings.HasPrefix(dep, library) {
				t.Errorf("generator imports %s", dep)
			}
		}
	}
}

// No template decides anything, and none is Go: variation lives in which files
// exist.
func TestTemplatesDecideNothing(t *testing.T) {
	text := templates.Shipped().Text
	err := fs.WalkDir(text, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !strings.HasSuffix(name, proseSuffix) || strings.Contains(path.Base(name), ".go.") {
			t.Errorf("text/%s is no template of prose", name)
		}
		data, err := fs.ReadFile(text, name)
		if err != nil {
			return err
		}
		return decidesNothing(t, "text/"+name, data)
	})
	if err != nil {
		t.Error(err)
	}
	for _, p := range templates.Presets() {
		name := path.Join(templates.PresetFolder, p.Name, templates.PresetProse)
		data, err := fs.ReadFile(templates.Shipped().Exemplar, name)
		if err == nil {
			err = decidesNothing(t, name, data)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// decidesNothing checks a template, and those that it defines: the parts of the README
// that it calls are there in any project.
func decidesNothing(t *testing.T, name string, data []byte) error {
	t.Helper()
	parsed, err := template.New(name).Funcs(sprig.TxtFuncMap()).Parse(string(data))
	if err != nil {
		return err
	}
	for _, part := range parsed.Templates() {
		for _, node := range part.Root.Nodes {
			switch node.Type() {
			case parse.NodeText, parse.NodeAction, parse.NodeComment, parse.NodeTemplate:
			default:
				t.Errorf("%s: %s", name, node)
			}
		}
	}
	return nil
}

// The table of features, their folders, their entries in the wire file and
// their sections in the configuration agree.
func TestTableAgrees(t *testing.T) {
	eachHouse(t, func(t *testing.T, house templates.House, src *source) {
		checkRows(t, src)
		wired := make(map[Ref]bool)
		wire := goFilesIn(t, house.Exemplar, path.Dir(templates.Wire))[0]
		for _, kind := range templates.Kinds() {
			literal := wire.literal(kind.Variable())
			if literal == nil {
				continue
			}
			for _, element := range literal.Elts {
				key, ok := keyOfElement(element)
				if !ok {
					t.Fatalf("an element of %s has no plain key", kind.Variable())
				}
				wired[Ref{Kind: kind, Name: key}] = true
				f, ok := src.feature(Ref{Kind: kind, Name: key})
				if !ok {
					t.Errorf("%s has %q, which has no row", kind.Variable(), key)
				} else if !hasDefault(t, house.Exemplar, f.Folders[0]) {
					t.Errorf("%s has no func %s", f.Folders[0], constructor)
				}
			}
		}
		config, err := fs.ReadFile(house.Exemplar, templates.Config)
		if err != nil {
			t.Fatal(err)
		}
		blocks, err := blocksOf(config)
		if err != nil {
			t.Fatal(err)
		}
		sections := make(map[Ref]bool)
		for _, b := range blocks {
			if len(b.name) == 2 && slices.Contains(templates.Kinds(), templates.Kind(b.name[0])) {
				sections[Ref{Kind: templates.Kind(b.name[0]), Name: b.name[1]}] = true
			}
		}
		for _, f := range src.features {
			if f.Kind.Variable() != "" && (!wired[f.Ref] || !sections[f.Ref]) {
				t.Errorf("%v: entry %v, section %v", f.Ref, wired[f.Ref], sections[f.Ref])
			}
		}
		if len(wired) != len(sections) {
			t.Errorf("entries are %v, sections %v", wired, sections)
		}
	})
}

// checkRows checks what the rows of the table say of themselves.
func checkRows(t *testing.T, src *source) {
	t.Helper()
	seen := make(map[string]Ref)
	for _, f := range src.features {
		for _, own := range []string{path.Base(f.Folders[0]), f.Folders[0]} {
			if other, ok := seen[own]; ok && other != f.Ref {
				t.Errorf("%v and %v both have %s", f.Ref, other, own)
			}
			seen[own] = f.Ref
		}
		for i, folder := range f.Folders {
			for other, owners := range src.folders() {
				// Else a file would have other owners than its folder says.
				if strings.HasPrefix(other, folder+"/") {
					t.Errorf("%v: %s is within %s", owners, other, folder)
				}
				if other == folder && i == 0 && len(owners) > 1 {
					t.Errorf("%v share %s, which is the first of %v", owners, folder, f.Ref)
				}
			}
			if !slices.ContainsFunc(src.owned[f.Ref], func(o original) bool { return strings.HasPrefix(o.path, folder+"/") }) {
				t.Errorf("%v: nothing is in %s", f.Ref, folder)
			}
		}
		for _, other := range append(slices.Clone(f.Needs), f.Excludes...) {
			if _, ok := src.feature(other); !ok || other == f.Ref {
				t.Errorf("%v needs or excludes %v", f.Ref, other)
			}
		}
	}
	for _, f := range templates.Features() {
		if f.Summary == "" || strings.HasSuffix(f.Summary, ".") {
			t.Errorf("%v: the summary is %q", f.Ref, f.Summary)
		}
	}
}

// folders returns all folders of features, with those that list them.
func (src *source) folders() map[string][]Ref {
	folders := make(map[string][]Ref)
	for _, f := range src.features {
		for _, folder := range f.Folders {
			folders[folder] = append(folders[folder], f.Ref)
		}
	}
	return folders
}

func hasDefault(t *testing.T, exemplar fs.FS, folder string) bool {
	return slices.ContainsFunc(goFilesIn(t, exemplar, folder), func(f *goFile) bool {
		return slices.ContainsFunc(f.tree.Decls, func(decl ast.Decl) bool { return declares(decl, constructor) })
	})
}

// Whatever of the exemplar is under version control ships, but for the file that
// takes our flag; what is not may be something that a person left there.
func TestExemplarShips(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "../templates/exampled").Output()
	if err != nil {
		leaveOut(t, "what ships is not held against version control: "+err.Error())
	}
	for _, name := range strings.Fields(string(out)) {
		if base := path.Base(name); !templates.Ships(name) && base != "update_test.go" && base != templates.PresetProse {
			t.Errorf("%s does not ship", name)
		}
	}
	for _, name := range []string{"cmd/exampled/exampled", "a.test", "cpu.prof", "x.db", "x.go~", ".x.go.swp", ".go"} {
		if templates.Ships(name) {
			t.Errorf("%s ships", name)
		}
	}
}

// leaveOut ends a test for which something is missing, and says so. Where CI=true
// nobody reads it, so it is a failure.
func leaveOut(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("CI=true accepts no test left out: " + what)
	}
	t.Skip("LEFT OUT: " + what)
}
