// Loading: from a file and the environment to checked sections.

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/pelletier/go-toml/v2"
)

// MaxFile is the size in bytes of the largest file that is read. The TOML
// library compares each key with all others: 256 KiB of them take it a second.
const MaxFile = 256 << 10

// maxRounds is how many faults in the structure of a file are found at once,
// such as a key that is set twice: each costs another round of decoding.
const maxRounds = 20

// Options are the particulars of Load.
type Options struct {
	// Prefix begins the names of the environment variables, such as "FEED_".
	// If it is empty the environment is not looked at.
	Prefix string

	// LookupEnv looks a variable up; nil is os.LookupEnv.
	LookupEnv func(name string) (value string, ok bool)

	// Text is the contents of the file, which is then not read; nil: read it.
	Text []byte

	// ReadSecret reads a file that holds a secret, up to a byte more than
	// MaxSecret; nil is the function of that name. It may return ErrSkip.
	ReadSecret func(path string) ([]byte, error)
}

// Load reads the file into the sections of the tables, lays the environment
// over it, and validates: every table whose name has no dot, and of the others
// those that are present. It sets Present of each.
//
// The value of the key "listen" in [transport.tcp] comes from the variable
// PREFIX_TRANSPORT_TCP_LISTEN if it is set, also to nothing; a list has commas
// between its items. Other variables with the prefix are left alone. A Path
// that is not empty is absolute afterwards: if it is relative, then to the
// directory of the file.
//
// A Secret is also looked for in files. The value of the key "password" in
// [database.mysql] is the first that there is of these: the variable
// PREFIX_DATABASE_MYSQL_PASSWORD; the file that the key "password_file" of the
// section names, or its variable; the file database.mysql.password in the
// directory $CREDENTIALS_DIRECTORY; the value in the document. The line break
// at the end of a file is dropped.
//
// The error is nil or of type Problems, with every problem. After an error the
// contents of the sections are unspecified.
func Load(file string, options Options, tables []*Table) error {
	l := newLoader(file, options, tables)
	l.load()
	if len(l.problems) == 0 {
		return nil
	}
	l.problems.sort()
	return l.problems
}

type loader struct {
	file    string
	options Options
	tables  []*Table

	keys     map[string]*key // by name
	secrets  []secret
	sections map[string]bool // every section that leads to a key

	document  *document
	variables map[string]string // by the name of a key: the variable that set it
	files     map[string]string // by the name of a secret: the key that named its file
	skipped   map[string]bool   // secrets that are not looked at
	problems  Problems
	failed    map[string]bool // sources that a problem was reported of
}

func newLoader(file string, options Options, tables []*Table) *loader {
	if options.LookupEnv == nil {
		options.LookupEnv = os.LookupEnv
	}
	if options.ReadSecret == nil {
		options.ReadSecret = ReadSecret
	}
	l := &loader{
		file:      file,
		options:   options,
		tables:    tables,
		keys:      make(map[string]*key),
		sections:  make(map[string]bool),
		variables: make(map[string]string),
		files:     make(map[string]string),
		skipped:   make(map[string]bool),
		failed:    make(map[string]bool),
	}
	for _, t := range tables {
		t.Present = false
		l.addSection(t.path())
		keys := keysOf(t)
		for _, k := range keys {
			l.addSection(k.path[:len(k.path)-1])
			l.keys[k.name] = k
		}
		l.addSecrets(keys)
	}
	l.checkOwn()
	return l
}

// checkOwn reports what can't be in the table without a name: a key, because at
// the end of a file it would belong to the last section there, and the section
// of another table. The file has no say in it.
func (l *loader) checkOwn() {
	taken := make(map[string]bool)
	for _, t := range l.tables {
		if t.Name != "" {
			taken[t.path()[0]] = true
		}
	}
	for _, t := range l.tables {
		if t.Name != "" {
			continue
		}
		for _, k := range keysOf(t) {
			name, reason := join(k.path[:1]), ""
			switch {
			case len(k.path) == 1:
				reason = fmt.Sprintf("must be a section, so a struct in Go, is of the type %s", k.field.Type())
			case taken[k.path[0]]:
				reason = "is the name of a section that the service has already; call yours something else"
			default:
				continue
			}
			l.add(name, Problem{File: l.file, Key: name, Reason: reason})
		}
	}
}

func (l *loader) addSection(path []string) {
	for depth := range path {
		l.sections[join(path[:depth+1])] = true
	}
}

// load does the work and collects the problems. Without usable tables or a
// readable document it ends early: what depends on them would only be noise.
func (l *loader) load() {
	if len(l.problems) > 0 {
		return
	}
	text, err := l.text()
	if err != nil {
		l.problems = Unreadable(l.file, err)
		return
	}
	l.document = parse(bytes.TrimPrefix(bytes.Clone(text), []byte("\ufeff")))
	if syntax := l.document.syntax; syntax != nil {
		l.reportAt(syntax.offset, "", "syntax error: "+syntax.reason)
		return
	}
	for _, s := range l.document.statements {
		l.recognize(s)
	}
	tree, ok := l.decode()
	if !ok {
		return
	}
	for _, k := range l.keys {
		l.set(k, tree)
	}
	for _, t := range l.tables {
		_, isTable := lookup(tree, t.path()).(map[string]any)
		t.Present = t.Present || isTable
	}
	l.resolvePaths()
	l.readSecrets(tree)
	l.validate()
}

// text returns what is to be loaded.
func (l *loader) text() ([]byte, error) {
	text, err := l.options.Text, error(nil)
	if text == nil {
		text, err = read(l.file, MaxFile)
	}
	if len(text) > MaxFile {
		return nil, fmt.Errorf("is larger than %s", Size(MaxFile))
	}
	return text, err
}

// Unreadable is the problem with a file of which nothing is known but the cause.
func Unreadable(file string, cause error) Problems {
	return Problems{{File: file, Reason: reason(cause), cause: cause}}
}

// read returns the contents of the file, up to a byte more than limit.
func read(file string, limit int64) ([]byte, error) {
	f, err := Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return ReadOpen(f, limit)
}

// Open opens a file of the configuration. It does not wait for a writer where that is
// a pipe, and fails with what is no regular file.
func Open(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = syscall.EISDIR
	case !info.Mode().IsRegular():
		err = errors.New("is not a regular file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ReadOpen returns the contents of a file that was just opened, up to a byte more
// than limit.
func ReadOpen(f *os.File, limit int64) ([]byte, error) { return io.ReadAll(io.LimitReader(f, limit+1)) }

// reason returns the text of an error without the name of the file.
func reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	return err.Error()
}

// decode returns the values of the document. Where the structure is at fault,
// it takes the statement out and goes on, to find the next fault as well. It
// reports false if it could not get to the end.
func (l *loader) decode() (tree map[string]any, ok bool) {
	for range maxRounds {
		tree = nil
		err := toml.Unmarshal(l.document.text, &tree)
		if err == nil {
			return tree, true
		}
		fault, ok := errors.AsType[*toml.DecodeError](err)
		if !ok {
			l.report("", err.Error())
			return nil, false
		}
		offset := l.document.offset(fault.Position())
		reason := strings.TrimPrefix(fault.Error(), "toml: ")
		statement := l.document.at(offset)
		if statement == nil {
			l.reportAt(offset, "", reason)
			return nil, false
		}
		l.reportAt(offset, join(statement.path), reason)
		if !l.document.blank(statement) {
			return nil, false
		}
	}
	return nil, false
}

// set gives a key its value from the document, and then from the environment.
func (l *loader) set(k *key, tree map[string]any) {
	if value := lookup(tree, k.path); value != nil {
		k.table.Present = true
		if err := assign(k.field, value); err != nil {
			l.report(k.name, err.Error())
		}
	}
	if l.options.Prefix == "" {
		return
	}
	variable := l.options.Prefix + variableName(k.name)
	if text, ok := l.options.LookupEnv(variable); ok {
		k.table.Present = true
		l.variables[k.name] = variable
		if err := assignText(k.field, text); err != nil {
			l.report(k.name, err.Error())
		}
	}
}

// variableName is what the variable for a key is called, after the prefix.
func variableName(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// lookup returns the value at a path, or nil.
func lookup(tree map[string]any, path []string) any {
	var value any = tree
	for _, part := range path {
		table, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = table[part]
	}
	return value
}

// resolvePaths makes every Path absolute.
func (l *loader) resolvePaths() {
	dir, err := filepath.Abs(filepath.Dir(l.file))
	if err != nil {
		l.problems = append(l.problems, Problem{File: l.file, Reason: "the directory can't be told: " + reason(err), cause: err})
		return
	}
	resolve := func(v reflect.Value) {
		if path := v.String(); path != "" && !filepath.IsAbs(path) {
			v.SetString(filepath.Join(dir, path))
		}
	}
	for _, k := range l.keys {
		switch {
		case k.field.Type() == pathType:
			resolve(k.field)
		case k.field.Kind() == reflect.Slice && k.field.Type().Elem() == pathType:
			for i := range k.field.Len() {
				resolve(k.field.Index(i))
			}
		}
	}
}

// validate has the sections report what is out of range.
func (l *loader) validate() {
	for _, t := range l.tables {
		if !t.inForce() {
			continue
		}
		t.Section.Validate(func(key, reason string) {
			l.report(strings.Trim(t.Name+"."+key, "."), reason)
		})
	}
}

// report enters a problem with the key or section of the name, at the place
// where the value comes from. A secret that is not looked at has none.
func (l *loader) report(name, reason string) {
	if l.skipped[name] {
		return
	}
	source := name
	if file, ok := l.files[name]; ok {
		source = file
	}
	variable, ok := l.variables[source]
	if !ok {
		l.reportAt(l.place(source), name, reason)
		return
	}
	l.add(variable, Problem{File: "environment variable " + variable, Key: name, Reason: reason})
}

func (l *loader) reportAt(offset int, name, reason string) {
	line, column := l.document.position(offset)
	l.add(name, Problem{File: l.file, Line: line, Column: column, Key: name, Reason: reason})
}

// add enters the first problem with a source: a key, a section or a variable.
// Further ones would be its consequences.
func (l *loader) add(source string, p Problem) {
	if !l.failed[source] {
		l.failed[source] = true
		l.problems = append(l.problems, p)
	}
}

// place returns the offset of a key or section in the document; of a key that
// is not in it, that of its section, and without one the beginning.
func (l *loader) place(name string) int {
	for {
		if offset, ok := l.document.offsets[name]; ok {
			return offset
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 || slices.ContainsFunc(l.tables, func(t *Table) bool { return t.Name == name }) {
			return 0
		}
		name = name[:dot]
	}
}
