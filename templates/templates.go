// Package templates is the house to copy: the exemplar, the prose that is not
// Go, the recorded module pins, and the table of what can be plugged in. It has
// no logic; package generator has.
//
//	exampled/  the exemplar: a real daemon, with every feature plugged in; its
//	           folder presets has services that are ready
//	text/      what is not Go and not in the exemplar: README, Makefile, …
//	modules/   go.mod and go.sum of projects, recorded by go test ./generator -update
//	names.txt  names that no project can have, recorded likewise
package templates

import (
	"embed"
	"io/fs"
	"strings"
)

// What the exemplar is called. A rendered project has its own module path in
// the place of ImportPath, and its own name in the place of Word.
const (
	ImportPath = "github.com/daemongen/daemongen/templates/exampled"
	Word       = "exampled"
)

// The two files of the exemplar in which features have an entry.
const (
	Wire   = "internal/wire/wire.go"
	Config = "configs/exampled.toml"
)

// A House is what projects are copied from. Tests of the generator build small
// ones of their own.
type House struct {
	Exemplar fs.FS // root of the exemplar; see [Ships] for the files that count
	Text     fs.FS // PATH.tmpl is rendered to PATH
	Modules  fs.FS // bare.mod, bare.sum, and KIND.NAME.mod, KIND.NAME.sum where a feature or preset needs modules
	Names    []byte
	Features []Feature
	Presets  []Preset
}

//go:embed all:exampled all:text modules names.txt
var files embed.FS

// Shipped returns the house that is built into the program. Its parts are not
// to be changed.
func Shipped() House {
	names, err := files.ReadFile("names.txt")
	if err != nil {
		panic(err) // embedded above
	}
	return House{
		Exemplar: sub("exampled"),
		Text:     sub("text"),
		Modules:  sub("modules"),
		Names:    names,
		Features: Features(),
		Presets:  Presets(),
	}
}

func sub(dir string) fs.FS {
	s, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // only for a malformed path
	}
	return s
}

// Ships reports whether the file at path, of the exemplar, is part of the
// projects made from it. Everything that people write is; what they leave lying
// about (binaries, profiles, databases, editors' copies) is not, nor is the file
// in each package of the exemplar that takes the flag -update of our own tests.
func Ships(path string) bool {
	if strings.HasSuffix("/"+path, "/update_test.go") {
		return false
	}
	switch ext(path) {
	case ".go", ".toml", ".sql", ".sh", ".service", ".logrotate", ".md", ".txt", ".json":
		return true
	}
	return false
}

// ext is path.Ext, but for a name that begins with its only dot.
func ext(path string) string {
	for i := len(path) - 1; i > 0 && path[i] != '/'; i-- {
		if path[i] == '.' && path[i-1] != '/' {
			return path[i:]
		}
	}
	return ""
}
