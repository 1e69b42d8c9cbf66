package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/feed/internal/config"
	"example.com/feed/internal/database"
	"example.com/feed/internal/logging"
	"example.com/feed/internal/transport"
	"example.com/feed/internal/worker"
)

// Parts is what a service is put together from; main fills it.
type Parts struct {
	Name       string // of the service, its files and its section of the environment
	Version    string
	Transports map[string]func() transport.Config // each with its defaults
	Databases  map[string]func() database.Config
	BuiltIn    []byte // the configuration that the file "" stands for

	// Handler makes the handler of the messages; db is nil without a database.
	Handler func(db *database.DB) worker.Handler
}

// EnvPrefix begins the names of the environment variables of the service.
func (p Parts) EnvPrefix() string {
	return strings.ToUpper(strings.ReplaceAll(p.Name, "-", "_")) + "_"
}

// Configuration is everything that the service reads from its configuration,
// checked and complete. It does not change; a reload makes another one.
type Configuration struct {
	File       string // absolute; "": the built-in one
	Daemon     *Settings
	Log        *logging.Settings
	Worker     *worker.Settings
	Transports map[string]transport.Config // those with a section
	Database   database.Config             // nil: none

	databaseName string
	tables       []*config.Table
}

// LoadConfiguration reads the file, or the built-in configuration if it is "",
// and the environment. The text, if it is not nil, is what the file holds: for
// a caller who may not read it. The error holds every problem (config.Problems).
func LoadConfiguration(parts Parts, file string, text []byte) (*Configuration, error) {
	c := &Configuration{
		File:       file,
		Daemon:     DefaultSettings(),
		Log:        logging.Default(),
		Worker:     worker.Default(),
		Transports: make(map[string]transport.Config),
	}
	c.tables = []*config.Table{
		{Name: "daemon", Section: c.Daemon},
		{Name: "log", Section: c.Log},
		{Name: "worker", Section: c.Worker},
	}
	transports := tables("transport", parts.Transports)
	databases := tables("database", parts.Databases)
	c.tables = slices.Concat(c.tables, transports, databases)
	options := config.Options{Prefix: parts.EnvPrefix(), Text: text}
	if file == "" {
		file, options.Text = "built-in configuration", parts.BuiltIn
	}
	if err := config.Load(file, options, c.tables); err != nil {
		return nil, err
	}

	var problems config.Problems
	missing := func(kind, reason string) {
		problems = append(problems, config.Problem{File: file, Key: kind, Reason: reason})
	}
	for name, table := range present("transport", transports) {
		c.Transports[name] = table.Section.(transport.Config)
	}
	if len(c.Transports) == 0 && len(transports) > 0 {
		missing("transport", "no section tells how to reach the service: add "+sectionNames(transports))
	}
	for name, table := range present("database", databases) {
		if c.Database != nil {
			missing("database", fmt.Sprintf("the sections of %s and %s exclude each other", c.databaseName, name))
			continue
		}
		c.Database, c.databaseName = table.Section.(database.Config), name
	}
	if c.Database == nil && len(databases) > 0 {
		missing("database", "no section tells where to store: add "+sectionNames(databases))
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// tables makes a table for each constructor, by name.
func tables[C config.Section](kind string, constructors map[string]func() C) []*config.Table {
	var list []*config.Table
	for _, name := range slices.Sorted(maps.Keys(constructors)) {
		list = append(list, &config.Table{Name: kind + "." + name, Section: constructors[name]()})
	}
	return list
}

// present yields the tables that the configuration has, by name without kind.
func present(kind string, tables []*config.Table) func(yield func(string, *config.Table) bool) {
	return func(yield func(string, *config.Table) bool) {
		for _, t := range tables {
			if t.Present && !yield(strings.TrimPrefix(t.Name, kind+"."), t) {
				return
			}
		}
	}
}

func sectionNames(tables []*config.Table) string {
	var names []string
	for _, t := range tables {
		names = append(names, "["+t.Name+"]")
	}
	return strings.Join(names, " or ")
}

// RestartError names the keys that can't change while the service runs.
type RestartError struct{ Keys []string }

func (e *RestartError) Error() string {
	return "needs a restart: " + strings.Join(e.Keys, ", ")
}

// requireReloadable returns a *RestartError if to differs from c in a key that
// can't change live.
func (c *Configuration) requireReloadable(to *Configuration) error {
	if _, restart := config.Changed(c.tables, to.tables); len(restart) > 0 {
		return &RestartError{restart}
	}
	return nil
}
