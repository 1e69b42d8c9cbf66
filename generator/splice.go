package generator

// The change Splice: it adds one import and one element of a named map literal
// to a Go file, by position. The tree is read and never printed, so that
// comments, order and layout of what a person wrote survive.

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// entry is one element of a map literal, "tcp": tcp.Default, and the import of
// the package that it names.
type entry struct {
	file     string // for messages
	variable string // Transports
	key      string // tcp
	path     string // import path; its last element is the name of the package
	alias    string // name of the import where another one has the package's name
	module   string // the imports of the same module stand together
}

const constructor = "Default"

func (e entry) element(pkg string) string {
	return fmt.Sprintf("%q: %s.%s", e.key, pkg, constructor)
}

// errNoLiteral says that there is nowhere to put an entry.
var errNoLiteral = errors.New("no map literal")

// refusal says that a person changed the file so that the entry has no place.
func (e entry) refusal() error {
	return &RefusedError{
		Paths:  []string{e.file},
		Reason: fmt.Sprintf("%s: the variable %s is gone, or is no map literal any more", e.file, e.variable),
		Hint: fmt.Sprintf("put the entry in by hand, %s, with the import %q; then type the command again",
			e.element(path.Base(e.path)), e.path),
	}
}

// goFile is a Go file that is read by position.
type goFile struct {
	src   []byte
	files *token.FileSet
	tree  *ast.File
}

func parseGo(name string, src []byte) (*goFile, error) {
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &goFile{src, files, tree}, nil
}

func (f *goFile) offset(pos token.Pos) int { return f.files.PositionFor(pos, false).Offset }

// addEntry returns the Go source with the entry in its place, in the order of
// the keys. It returns src itself if the key is there. Source that was laid out
// as gofmt does stays so; other source keeps its layout.
func addEntry(src []byte, e entry) ([]byte, error) {
	return keepLayout(src, func(src []byte) ([]byte, error) { return e.insert(src) })
}

// removeEntry is the inverse of addEntry: it returns the Go source without the
// element, and without the import if nothing else uses it.
func removeEntry(src []byte, e entry) ([]byte, error) {
	return keepLayout(src, func(src []byte) ([]byte, error) { return e.cut(src) })
}

// keepLayout applies a change so that the lines end as before, and are laid out
// as gofmt does if they were before.
func keepLayout(src []byte, change func([]byte) ([]byte, error)) ([]byte, error) {
	if !formatted(src) {
		changed, err := change(src)
		if err != nil || bytes.Equal(changed, src) {
			return src, err
		}
		return changed, nil
	}
	return keepLineBreaks(src, func(plain []byte) ([]byte, error) {
		changed, err := change(plain)
		if err != nil || bytes.Equal(changed, plain) {
			return plain, err
		}
		return format.Source(changed)
	})
}

// formatted reports whether Go source is as gofmt prints it, but for lines that
// may all end in \r\n.
func formatted(src []byte) bool {
	plain := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	if crlf := len(src) - len(plain); crlf > 0 && crlf != bytes.Count(plain, []byte("\n")) {
		return false
	}
	out, err := format.Source(plain)
	return err == nil && bytes.Equal(out, plain)
}

func (e entry) insert(src []byte) ([]byte, error) {
	f, err := parseGo(e.file, src)
	if err != nil {
		return nil, err
	}
	spec := f.importOf(e.path)
	literal := f.literal(e.variable)
	if literal == nil {
		if spec != nil && f.uses(importName(spec)) {
			return src, nil // put in by hand, elsewhere
		}
		return nil, errNoLiteral
	}
	if f.element(literal, e.key) != nil {
		return src, nil
	}
	// From the end of the file to its beginning, so that positions stay true.
	pkg := f.nameFor(e, spec)
	src = f.insertElement(literal, e.key, e.element(pkg))
	if spec == nil {
		src = f.insertImport(src, e, pkg)
	}
	return src, nil
}

// literal returns the map literal that is the value of a variable of the
// package, or nil.
func (f *goFile) literal(variable string) *ast.CompositeLit {
	for _, decl := range f.tree.Decls {
		decl, ok := decl.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, spec := range decl.Specs {
			spec := spec.(*ast.ValueSpec)
			i := slices.IndexFunc(spec.Names, func(name *ast.Ident) bool { return name.Name == variable })
			if i < 0 || i >= len(spec.Values) {
				continue
			}
			literal, ok := spec.Values[i].(*ast.CompositeLit)
			if !ok {
				return nil
			}
			if _, ok := literal.Type.(*ast.MapType); !ok {
				return nil
			}
			return literal
		}
	}
	return nil
}

// keyOfElement returns the key of an element, if it is a text.
func keyOfElement(element ast.Expr) (string, bool) {
	pair, ok := element.(*ast.KeyValueExpr)
	if !ok {
		return "", false
	}
	text, ok := pair.Key.(*ast.BasicLit)
	if !ok || text.Kind != token.STRING {
		return "", false
	}
	key, err := strconv.Unquote(text.Value)
	return key, err == nil
}

func (f *goFile) element(literal *ast.CompositeLit, key string) ast.Expr {
	for _, element := range literal.Elts {
		if k, ok := keyOfElement(element); ok && k == key {
			return element
		}
	}
	return nil
}

// insertElement returns the source with the element before the first one with a
// greater key, else at the end.
func (f *goFile) insertElement(literal *ast.CompositeLit, key, text string) []byte {
	next := slices.IndexFunc(literal.Elts, func(element ast.Expr) bool {
		k, ok := keyOfElement(element)
		return ok && k > key
	})
	brace := f.offset(literal.Rbrace)
	switch {
	case len(literal.Elts) == 0:
		return f.insertOnly(literal, text)
	case next >= 0:
		at := f.offset(literal.Elts[next].Pos())
		line := lineStart(f.src, at)
		if len(bytes.TrimSpace(f.src[line:at])) > 0 {
			return f.put(at, text+", ")
		}
		bound := f.offset(literal.Lbrace) + 1
		if next > 0 {
			bound = f.offset(literal.Elts[next-1].End())
		}
		indent := string(f.src[line:at])
		return f.put(f.aboveComments(bound, at), indent+text+","+lineBreak(f.src))
	default:
		last := f.offset(literal.Elts[len(literal.Elts)-1].End())
		if !bytes.Contains(f.src[last:brace], []byte("\n")) {
			return f.put(last, ", "+text)
		}
		line := lineStart(f.src, f.offset(literal.Elts[len(literal.Elts)-1].Pos()))
		indent := f.src[line : line+len(f.src[line:])-len(bytes.TrimLeft(f.src[line:], " \t"))]
		return f.put(f.afterElement(last), string(indent)+text+","+lineBreak(f.src))
	}
}

// insertOnly puts the first element into an empty literal, above the comments
// that it may hold.
func (f *goFile) insertOnly(literal *ast.CompositeLit, text string) []byte {
	open, brace := f.offset(literal.Lbrace)+1, f.offset(literal.Rbrace)
	end := lineBreak(f.src)
	outer := f.src[lineStart(f.src, f.offset(literal.Pos())):]
	indent := string(outer[:len(outer)-len(bytes.TrimLeft(outer, " \t"))])
	text = end + indent + "\t" + text + ","
	if !bytes.Contains(f.src[open:brace], []byte("\n")) {
		text += end + indent
	}
	return f.put(open, text)
}

// aboveComments returns the offset of the line of offset at, or of the comments
// directly above it that come after the offset bound.
func (f *goFile) aboveComments(bound, at int) int {
	start := lineStart(f.src, at)
	for _, group := range slices.Backward(f.tree.Comments) {
		at := f.offset(group.Pos())
		from := lineStart(f.src, at)
		alone := len(bytes.TrimSpace(f.src[from:at])) == 0
		if alone && from > bound && lineEnd(f.src, f.offset(group.End())) == start {
			return from
		}
	}
	return start
}

// afterElement returns the offset after the line on which the element ends that
// ends at offset last; a comment may go on to further lines.
func (f *goFile) afterElement(last int) int {
	end := lineEnd(f.src, last)
	for _, group := range f.tree.Comments {
		for _, comment := range group.List {
			if from, to := f.offset(comment.Pos()), f.offset(comment.End()); last <= from && from < end && end < to {
				end = lineEnd(f.src, to)
			}
		}
	}
	return end
}

func (f *goFile) put(at int, text string) []byte {
	return slices.Concat(f.src[:at], []byte(text), f.src[at:])
}

// importOf returns the import of a path by a name that can be used, or nil.
func (f *goFile) importOf(importPath string) *ast.ImportSpec {
	for _, spec := range f.tree.Imports {
		if pathOf(spec) != importPath {
			continue
		}
		if spec.Name == nil || spec.Name.Name != "_" && spec.Name.Name != "." {
			return spec
		}
	}
	return nil
}

func pathOf(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return ""
	}
	return p
}

// importName returns the name by which a file knows an import. Where the file
// does not give one, it is taken to be the last element of the path, without a
// version and what else no identifier holds.
func importName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	p := pathOf(spec)
	base := path.Base(p)
	if v, ok := strings.CutPrefix(base, "v"); ok && path.Dir(p) != "." {
		if _, err := strconv.Atoi(v); err == nil {
			base = path.Base(path.Dir(p))
		}
	}
	base = strings.TrimPrefix(base, "go-")
	if i := strings.IndexFunc(base, func(r rune) bool { return !isWordRune(r) }); i >= 0 {
		base = base[:i]
	}
	return base
}

// uses reports whether the file selects something from the import of that name.
func (f *goFile) uses(name string) bool { return f.selected()[name] }

// selected returns the names from which something is selected: x of x.Y.
func (f *goFile) selected() map[string]bool {
	names := make(map[string]bool)
	ast.Inspect(f.tree, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok {
				names[x.Name] = true
			}
		}
		return true
	})
	return names
}

// nameFor returns the name by which the file knows, or will know, the package
// of the entry.
func (f *goFile) nameFor(e entry, spec *ast.ImportSpec) string {
	if spec != nil {
		return importName(spec)
	}
	name := path.Base(e.path)
	for _, other := range f.tree.Imports {
		if importName(other) == name {
			return e.alias
		}
	}
	for _, decl := range f.tree.Decls {
		if declares(decl, name) {
			return e.alias
		}
	}
	return name
}

// declares reports whether a declaration at the top of a file is of that name.
func declares(decl ast.Decl, name string) bool {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		return decl.Recv == nil && decl.Name.Name == name
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				if slices.ContainsFunc(spec.Names, func(id *ast.Ident) bool { return id.Name == name }) {
					return true
				}
			case *ast.TypeSpec:
				if spec.Name.Name == name {
					return true
				}
			}
		}
	}
	return false
}

// insertImport returns src, which equals the file's source as far as its
// imports go, with the import of the entry: in order among the imports of the
// same module, else in a group of its own after the others.
func (f *goFile) insertImport(src []byte, e entry, name string) []byte {
	end := lineBreak(src)
	text := strconv.Quote(e.path)
	if name != path.Base(e.path) {
		text = name + " " + text
	}
	var before, after *ast.ImportSpec // of the same module
	for _, spec := range f.tree.Imports {
		p := pathOf(spec)
		switch {
		case p != e.module && !strings.HasPrefix(p, e.module+"/"):
		case p > e.path && after == nil:
			after = spec
		case p < e.path:
			before = spec
		}
	}
	decl := f.lastImports()
	switch {
	case before != nil && f.inGroup(before):
		at := lineEnd(src, f.offset(before.End()))
		return slices.Concat(src[:at], []byte("\t"+text+end), src[at:])
	case after != nil && f.inGroup(after):
		at := f.aboveComments(0, f.offset(after.Pos()))
		return slices.Concat(src[:at], []byte("\t"+text+end), src[at:])
	case decl != nil && decl.Rparen.IsValid() && lineStart(src, f.offset(decl.Rparen)) > f.offset(decl.Lparen):
		at := lineStart(src, f.offset(decl.Rparen))
		return slices.Concat(src[:at], []byte(end+"\t"+text+end), src[at:])
	case decl != nil:
		at := lineEnd(src, f.offset(decl.End()))
		return slices.Concat(src[:at], []byte("import "+text+end), src[at:])
	default:
		at := lineEnd(src, f.offset(f.tree.Name.End()))
		return slices.Concat(src[:at], []byte(end+"import "+text+end), src[at:])
	}
}

// inGroup reports whether an import has a line of its own between parentheses.
func (f *goFile) inGroup(spec *ast.ImportSpec) bool {
	from, to := lineStart(f.src, f.offset(spec.Pos())), lineEnd(f.src, f.offset(spec.End()))
	line := strings.TrimSpace(string(f.src[from:to]))
	return strings.HasPrefix(line, string(f.src[f.offset(spec.Pos()):f.offset(spec.End())])) && !strings.ContainsAny(line, ";)")
}

// lastImports returns the last import declaration of the file, or nil.
func (f *goFile) lastImports() *ast.GenDecl {
	var last *ast.GenDecl
	for _, decl := range f.tree.Decls {
		if decl, ok := decl.(*ast.GenDecl); ok && decl.Tok == token.IMPORT {
			last = decl
		}
	}
	return last
}

func (e entry) cut(src []byte) ([]byte, error) {
	f, err := parseGo(e.file, src)
	if err != nil {
		return nil, err
	}
	literal := f.literal(e.variable)
	if literal == nil {
		return nil, errNoLiteral
	}
	element := f.element(literal, e.key)
	if element == nil {
		return src, nil
	}
	src = f.cutElement(literal, element)
	spec := f.importOf(e.path)
	if spec == nil {
		return src, nil
	}
	rest, err := parseGo(e.file, src)
	if err != nil {
		return nil, err
	}
	if rest.uses(importName(spec)) {
		return src, nil
	}
	return rest.cutImport(rest.importOf(e.path)), nil
}

// cutElement returns the source without the element, its line if it has one of
// its own, and the comments directly above it.
func (f *goFile) cutElement(literal *ast.CompositeLit, element ast.Expr) []byte {
	i := slices.Index(literal.Elts, element)
	open, brace := f.offset(literal.Lbrace)+1, f.offset(literal.Rbrace)
	start, end := f.offset(element.Pos()), f.offset(element.End())
	bound := open
	if i > 0 {
		bound = f.offset(literal.Elts[i-1].End())
	}
	following := brace
	if i+1 < len(literal.Elts) {
		following = f.offset(literal.Elts[i+1].Pos())
	}
	line := lineStart(f.src, start)
	switch {
	case line > bound && lineEnd(f.src, end) <= following:
		start, end = f.aboveComments(bound, start), f.afterElement(end)
		if len(literal.Elts) == 1 && len(bytes.TrimSpace(f.src[open:start])) == 0 && len(bytes.TrimSpace(f.src[end:brace])) == 0 {
			start, end = open, brace // {} on one line
		}
	case i+1 < len(literal.Elts):
		end = following
	case i > 0:
		start = bound
	}
	return slices.Concat(f.src[:start], f.src[end:])
}

// cutImport returns the source without an import, and without the declaration
// or blank line that would be left empty.
func (f *goFile) cutImport(spec *ast.ImportSpec) []byte {
	start, end := f.aboveComments(0, f.offset(spec.Pos())), lineEnd(f.src, f.offset(spec.End()))
	for _, decl := range f.tree.Decls {
		decl, ok := decl.(*ast.GenDecl)
		if ok && decl.Tok == token.IMPORT && len(decl.Specs) == 1 && decl.Specs[0] == spec {
			start, end = lineStart(f.src, f.offset(decl.Pos())), lineEnd(f.src, f.offset(decl.End()))
		}
	}
	before := blankLineBefore(f.src[:start])
	rest := f.src[end:]
	if closes := bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(")")); closes || len(blankLineBefore(rest[:min(len(rest), len(before))])) > 0 {
		start -= len(before)
	}
	return slices.Concat(f.src[:start], rest)
}
