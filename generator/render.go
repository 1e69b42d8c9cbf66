package generator

// Rendering: an original of the house becomes a file of the project.

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/printer"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// render returns the originals in the words of a project, each as a file that
// does not exist yet. A template that does not render is a *BugError.
func render(originals []original, w words) ([]File, error) {
	files := make([]File, len(originals))
	err := parallel(len(originals), func(i int) (err error) {
		files[i], err = renderFile(originals[i], w)
		return err
	})
	return files, err
}

// parallel calls do for 0 to n-1, as many at once as there are processors, and
// returns the error of the lowest number that has one.
func parallel(n int, do func(int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				errs[i] = do(int(i))
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func renderFile(o original, w words) (File, error) {
	data, moved := w.replace(o.path, o.src)
	if strings.HasSuffix(o.path, ".go") {
		var err error
		if data, err = layOut(w.pathOf(o.path), data, moved); err != nil {
			return File{}, bug(err)
		}
	}
	return newFile(w.pathOf(o.path), data), nil
}

// newFile returns a file that does not exist yet, and that is known to be sound.
func newFile(name string, data []byte) File {
	return File{
		Path:   name,
		After:  data,
		Mode:   modeOf(name),
		Change: changeCreate,
		sound:  sha256.Sum256(data),
	}
}

func modeOf(name string) fs.FileMode {
	if strings.HasSuffix(name, ".sh") {
		return 0o755
	}
	return 0o644
}

// layOut returns Go source as gofmt prints it, or an error if it does not parse
// or imports what it does not use. The source was so before words in it were
// replaced; where that moved nothing it is so still, and need not be printed,
// which would cost more than all the rest.
func layOut(name string, src []byte, moved bool) ([]byte, error) {
	f, err := parseGo(name, src)
	if err != nil {
		return nil, err
	}
	if unused := f.unusedImport(); unused != "" {
		return nil, fmt.Errorf("%s: %s is imported and not used", name, unused)
	}
	if !moved && f.importsInOrder() {
		return src, nil
	}
	// What format.Source does, without parsing a second time.
	ast.SortImports(f.files, f.tree)
	var out bytes.Buffer
	out.Grow(len(src) + len(src)/16)
	layout := printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 8}
	if err := layout.Fprint(&out, f.files, f.tree); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// importsInOrder reports whether the imports of each group are sorted.
func (f *goFile) importsInOrder() bool {
	line, before := 0, ""
	for _, spec := range f.tree.Imports {
		at, p := f.files.PositionFor(spec.Pos(), false).Line, pathOf(spec)
		if at == line+1 && p <= before {
			return false
		}
		line, before = at, p
	}
	return true
}

// unusedImport returns an import that the file does not use, or "".
func (f *goFile) unusedImport() string {
	var selected map[string]bool
	for _, spec := range f.tree.Imports {
		name := importName(spec)
		if name == "_" || name == "." || name == "C" {
			continue
		}
		if selected == nil {
			selected = f.selected()
		}
		if !selected[name] {
			return spec.Path.Value
		}
	}
	return ""
}

// renderProse returns the templates of what is not Go, executed. Their data are
// the words of the project, and nothing else. Service defines parts of the README.
func renderProse(templates []original, service []byte, w words) ([]File, error) {
	if len(templates) == 0 {
		return nil, nil
	}
	functions := sprig.TxtFuncMap()
	files := make([]File, len(templates))
	for i, o := range templates {
		t, err := template.New(o.path).Option("missingkey=error").Funcs(functions).Parse(string(service))
		if err == nil {
			t, err = t.Parse(string(o.src))
		}
		if err != nil {
			return nil, bug(err)
		}
		var out bytes.Buffer
		if err := t.Execute(&out, w); err != nil {
			return nil, bug(err)
		}
		files[i] = newFile(o.path, out.Bytes())
	}
	return files, nil
}
