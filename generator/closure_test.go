package generator

// Closure: every project that can be asked for compiles. There are hundreds, so they
// are checked in this process. The tests of templates build those that have each pair
// of features.

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/tools/go/packages"

	"github.com/daemongen/daemongen/templates"
)

// combinations returns every choice of features.
func combinations(features []templates.Feature) []Spec {
	specs := []Spec{{}}
	for _, f := range features {
		for _, spec := range specs {
			if f.Kind != templates.Database || spec.Database == "" {
				specs = append(specs, spec.with(f.Ref))
			}
		}
	}
	return specs
}

func refNames(spec Spec) []string {
	names := []string{"bare"}
	for _, ref := range spec.refs() {
		names = append(names, ref.Name)
	}
	return names
}

// All projects, by what makes a package compile. Under its own name a project has the
// files of the exemplar (TestLawIdentity), which compile: so it does if each of its
// packages is whole, if all that these import is there, and if the one Go file that
// differs, the list of what is plugged in, has the right types.
func TestLawClosure(t *testing.T) {
	e := loadExemplar(t)
	src, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	words := wordsOf(templates.Word, templates.ImportPath)
	for _, spec := range combinations(templates.Features()) {
		spec.Name, spec.Module = templates.Word, templates.ImportPath
		if err := src.validate(spec); err != nil {
			t.Fatal(err)
		}
		w := whole{t: t, name: strings.Join(refNames(spec), ","), folders: make(map[string][]string)}
		for _, o := range slices.Concat(src.bare, src.of(spec.refs(), "")) {
			w.add(o.path)
		}
		shared, err := src.shared(spec, words)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range shared {
			switch file.Path {
			case templates.Wire:
				w.wire = file.After
				w.add(file.Path)
			case goMod:
				w.modules = requirements(t, file.After)
			}
		}
		w.check(e)
	}
}

// exemplar is what the projects are checked against.
type exemplar struct {
	packages map[string]*types.Package // by import path, without their tests
	folders  map[string][]string       // Go files, as the first project had them that had any
	imports  map[string][]string       // of each file that was looked at
}

func loadExemplar(t *testing.T) *exemplar {
	t.Helper()
	config := &packages.Config{
		Mode: packages.NeedName | packages.NeedTypes | packages.NeedExportFile, // what others see of them
		Dir:  "../templates/exampled",
	}
	loaded, err := packages.Load(config, "./...")
	if err != nil {
		t.Fatal(err)
	}
	e := &exemplar{make(map[string]*types.Package), make(map[string][]string), make(map[string][]string)}
	for _, p := range loaded {
		for _, err := range p.Errors {
			t.Fatal(err)
		}
		e.packages[p.PkgPath] = p.Types
	}
	return e
}

// requirements returns the paths of the modules that a go.mod requires.
func requirements(t *testing.T, text []byte) (paths []string) {
	t.Helper()
	file, err := modfile.Parse(goMod, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range file.Require {
		paths = append(paths, r.Mod.Path)
	}
	return paths
}

// A whole is the project that a spec gives, under the name of the exemplar.
type whole struct {
	t       *testing.T
	name    string              // what it has
	folders map[string][]string // Go files
	wire    []byte              // the list of what is plugged in
	modules []string            // that it requires
}

func (w *whole) add(name string) {
	if path.Ext(name) == ".go" && !strings.Contains(name, "testdata/") {
		w.folders[path.Dir(name)] = append(w.folders[path.Dir(name)], name)
	}
}

// check checks the Go files.
func (w *whole) check(e *exemplar) {
	w.checkWire(e)
	for folder, names := range w.folders {
		slices.Sort(names)
		if before := e.folders[folder]; before != nil && !slices.Equal(names, before) {
			w.t.Errorf("%s: %s has the files %q, and %q in another project", w.name, folder, names, before)
		}
		e.folders[folder] = names
		for _, name := range names {
			if name == templates.Wire {
				continue
			}
			for _, imported := range e.importsOf(w.t, name) {
				w.checkImport(name, imported)
			}
		}
	}
}

// checkWire checks the list of what is plugged in.
func (w *whole) checkWire(e *exemplar) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, templates.Wire, w.wire, 0)
	if err != nil {
		w.t.Fatal(w.name, err)
	}
	for _, spec := range file.Imports {
		w.checkImport(templates.Wire, strings.Trim(spec.Path.Value, `"`))
	}
	config := types.Config{Importer: importer(e.packages)}
	if _, err := config.Check(templates.ImportPath+"/"+path.Dir(templates.Wire), fset, []*ast.File{file}, nil); err != nil {
		w.t.Error(w.name, err)
	}
}

// checkImport makes sure that what a file imports is there.
func (w *whole) checkImport(name, imported string) {
	first, _, _ := strings.Cut(imported, "/")
	inside, own := strings.CutPrefix(imported, templates.ImportPath)
	switch {
	case own && w.folders[path.Join(".", strings.TrimPrefix(inside, "/"))] == nil:
		w.t.Errorf("%s: %s imports %s, which the project does not have", w.name, name, imported)
	case own || !strings.Contains(first, "."): // the standard library
	case !slices.ContainsFunc(w.modules, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") }):
		w.t.Errorf("%s: %s imports %s, of no module that the project requires", w.name, name, imported)
	}
}

// importsOf returns what a file of the exemplar imports.
func (e *exemplar) importsOf(t *testing.T, name string) []string {
	if imports, ok := e.imports[name]; ok {
		return imports
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../templates/exampled/"+name, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range file.Imports {
		e.imports[name] = append(e.imports[name], strings.Trim(spec.Path.Value, `"`))
	}
	return e.imports[name]
}

// importer imports the packages of a load.
type importer map[string]*types.Package

func (i importer) Import(path string) (*types.Package, error) {
	if p := i[path]; p != nil {
		return p, nil
	}
	return nil, os.ErrNotExist
}
