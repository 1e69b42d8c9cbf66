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

	"example.com/fee/internal/database"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/wire"
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
// the sections of what Overlay leaves out, on free ports, with a timer that keeps still,
// and otherwise as at first, so that tests hold whatever the project has by now.
func Configuration(text []byte) []byte {
	text = listens.ReplaceAllFunc(withoutServers(text, section), func(line []byte) []byte {
		return port.ReplaceAllLiteral(line, []byte(`:0"`))
	})
	return anySection.ReplaceAllFunc(text, func(section []byte) []byte {
		for key, value := range fixed[string(anySection.FindSubmatch(section)[1])] {
			section = regexp.MustCompile(`(?m)^`+key+` = .*$`).ReplaceAllLiteral(section, []byte(key+" = "+value))
		}
		return section
	})
}

// fixed are the values that tests rely on, by section and key.
var fixed = map[string]map[string]string{
	"daemon": {
		"user": `"nobody"`, "group": `""`, "capabilities": "[]", "sandbox": "false", "umask": `"0027"`, "nofile": "65536",
		"core_limit": `"0B"`, "environment": "[]", "stop_timeout": `"25s"`, "upgrade_timeout": `"5m"`,
	},
	"log": {"level": `"info"`, "format": `"text"`, "file": `""`, "daily": "false"},
	"worker": {
		"count": "16", "queue": "1024", "queue_bytes": `"8MiB"`, "batch": "256", "batch_bytes": `"1MiB"`, "attempts": "3",
		"timeout": `"30s"`, "backoff": `"100ms"`, "backoff_max": `"5s"`, "ordered_by": `""`,
	},
	"dead_letters":    {"file_size": `"16MiB"`, "total_size": `"1GiB"`},
	"transport.timer": {"every": `"1h"`, "cron": `""`, "at_start": "false"},
}

// WithoutOwn returns a configuration without the sections that are of the project's
// own handler, for a test with another one.
func WithoutOwn(text []byte) []byte {
	return anySection.ReplaceAllFunc(text, func(section []byte) []byte {
		first, _, _ := strings.Cut(string(anySection.FindSubmatch(section)[1]), ".")
		switch first {
		case "daemon", "log", "worker", "dead_letters", "transport", "database", "component":
			return section
		}
		return nil
	})
}

var (
	anySection = regexp.MustCompile(`(?m)^\[([\w.-]+)\]\n([^\[\n].*\n|\n)*`)

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
