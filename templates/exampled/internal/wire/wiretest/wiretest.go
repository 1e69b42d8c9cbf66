// Package wiretest builds the program for tests of the whole: with other files in
// the place of the project's, and without what is on a server, databases and
// transports. How the service lives does not depend on what it stores to, or where
// its work comes from, and so its tests run wherever they are; what is on a server
// has tests of its own.
package wiretest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/wire"
)

// list is the file that lists what is plugged in.
const list = "internal/wire/wire.go"

// Overlay returns the flags that have go build take other files. The map has the
// path in the project of each, and the file that is to stand there, absolute, or ""
// for none. What Overlay writes is in the folder, which outlives the build.
func Overlay(folder, project string, files map[string]string) (flags []string, err error) {
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for file, by := range files {
		overlay.Replace[filepath.Join(project, file)] = by
	}
	if _, ok := files[list]; !ok {
		text, err := os.ReadFile(filepath.Join(project, list))
		if err != nil {
			return nil, err
		}
		by := filepath.Join(folder, "wire.go")
		if err := os.WriteFile(by, withoutServers(text, entry, importOf), 0o644); err != nil {
			return nil, err
		}
		overlay.Replace[filepath.Join(project, list)] = by
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, "overlay.json")
	return []string{"-overlay", file}, os.WriteFile(file, text, 0o644)
}

// Configuration returns a configuration as a test can have it beside others: without
// the sections of what Overlay leaves out, and on free ports.
func Configuration(text []byte) []byte {
	return listens.ReplaceAllFunc(withoutServers(text, section), func(line []byte) []byte {
		return port.ReplaceAllLiteral(line, []byte(`:0"`))
	})
}

var (
	listens = regexp.MustCompile(`(?m)^(listen|bind) = .*`)
	port    = regexp.MustCompile(`:\d+"`)
)

// What there is of a database or transport, by its kind and name.
const (
	entry    = `(?m)^\t"NAME": .*\n`
	importOf = `(?m)^\t"[^"]*/internal/KIND/NAME"\n`
	section  = `(?m)^(#.*\n)*\[KIND\.NAME\]\n([^\[\n].*\n|\n)*`
)

// withoutServers takes out what matches the patterns for something on a server.
func withoutServers(text []byte, patterns ...string) []byte {
	for _, s := range servers() {
		for _, pattern := range patterns {
			of := regexp.MustCompile(strings.NewReplacer("KIND", s.kind, "NAME", regexp.QuoteMeta(s.name)).Replace(pattern))
			text = of.ReplaceAllLiteral(text, nil)
		}
	}
	return text
}

// server is something that is plugged in, and is on one.
type server struct{ kind, name string }

func servers() (all []server) {
	for name, defaults := range wire.Databases {
		if _, ok := defaults().(database.Remote); ok {
			all = append(all, server{"database", name})
		}
	}
	for name, defaults := range wire.Transports {
		if _, ok := defaults().(transport.RemoteConfig); ok {
			all = append(all, server{"transport", name})
		}
	}
	return all
}
