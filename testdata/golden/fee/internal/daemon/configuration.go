package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/fee/internal/config"
	"example.com/fee/internal/database"
	"example.com/fee/internal/deadletters"
	"example.com/fee/internal/logging"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/worker"
)

// Parts is what a service is put together from; main fills it.
type Parts struct {
	Name       string // of the service, its files and its section of the environment
	Version    string
	Transports map[string]func() transport.Config // each with its defaults
	Databases  map[string]func() database.Config
	BuiltIn    []byte // the configuration that the file "" stands for

	// LookupEnv looks up a variable of the service; nil is os.LookupEnv.
	LookupEnv func(name string) (value string, ok bool)

	// ReadSecret reads a file that holds a secret; nil is config.ReadSecret.
	ReadSecret func(path string) ([]byte, error)

	// Settings makes the sections of the configuration that are the handler's
	// own, with their defaults; nil: it has none.
	Settings func() config.Section

	// Handler makes the handler of the messages; db is nil without a database,
	// and settings come from Settings. If the handler is an io.Closer, it is
	// closed when the service ends, after the last call to it.
	Handler func(db *database.DB, settings config.Section) (worker.Handler, error)

	// Reload returns what has a handler take other settings, while it works;
	// an error means that it goes on with those it had. Nil, both of them: a
	// change of its settings needs a restart.
	Reload func(handler worker.Handler) func(settings config.Section) error
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
	Letters    *deadletters.Settings
	Transports map[string]transport.Config // those with a section that has an effect
	Unused     map[string]string           // why the others have none, by name
	Database   database.Config             // nil: none
	Settings   config.Section              // the handler's own; nil: none

	DatabaseSettings *database.Settings // of any database

	// SecretFiles has the paths of the files that secrets were read from.
	SecretFiles map[string]bool

	databaseName string
	tables       []*config.Table
	own          []*config.Table // of them, the one of Settings
}

// LoadConfiguration reads the file, or the built-in configuration if it is "",
// and the environment. The text, if it is not nil, is what the file holds: for
// a caller who may not read it. The error holds every problem (config.Problems).
func LoadConfiguration(parts Parts, file string, text []byte) (*Configuration, error) {
	c := &Configuration{
		File:        file,
		Daemon:      DefaultSettings(),
		Log:         logging.Default(),
		Letters:     deadletters.Default(),
		Transports:  make(map[string]transport.Config),
		Unused:      make(map[string]string),
		SecretFiles: make(map[string]bool),

		DatabaseSettings: database.DefaultSettings(),
	}
	transports := tables("transport", parts.Transports)
	workers := &workerSection{*worker.Default(), transports}
	c.Worker = &workers.Settings
	c.tables = []*config.Table{
		{Name: "daemon", Section: c.Daemon},
		{Name: "log", Section: c.Log},
		{Name: "worker", Section: workers},
		{Name: "dead_letters", Section: c.Letters},
		{Name: "database", Section: c.DatabaseSettings},
	}
	databases := tables("database", parts.Databases)
	if parts.Settings != nil {
		c.Settings = parts.Settings()
		c.own = []*config.Table{{Section: c.Settings}}
	}
	c.tables = slices.Concat(c.tables, transports, databases, c.own)
	options := config.Options{Prefix: parts.EnvPrefix(), LookupEnv: parts.LookupEnv, Text: text, ReadSecret: c.secretsWith(parts.ReadSecret)}
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
		c.addTransport(name, table.Section.(transport.Config))
	}
	switch {
	case len(c.Transports) > 0 || len(transports) == 0:
	case len(c.Unused) > 0:
		missing("transport", "no section tells how to reach the service: "+c.unused())
	default:
		missing("transport", "no section tells how to reach the service: add "+sectionNames(transports))
	}
	if reason := c.chooseDatabase(databases); reason != "" {
		missing("database", reason)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// addTransport adds a section, unless it has no effect.
func (c *Configuration) addTransport(name string, section transport.Config) {
	if remote, ok := section.(transport.RemoteConfig); ok {
		if why := remote.Unused(); why != "" {
			c.Unused[name] = why
			return
		}
	}
	c.Transports[name] = section
}

// unused says why sections of transports have no effect.
func (c *Configuration) unused() string {
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(c.Unused)) {
		reasons = append(reasons, "transport."+name+": "+c.Unused[name])
	}
	return strings.Join(reasons, ", ")
}

// secretsWith returns a function that reads files as read does, by default
// config.ReadSecret, and notes which they are.
func (c *Configuration) secretsWith(read func(path string) ([]byte, error)) func(path string) ([]byte, error) {
	if read == nil {
		read = config.ReadSecret
	}
	return func(path string) ([]byte, error) {
		text, err := read(path)
		if err == nil {
			c.SecretFiles[path] = true
		}
		return text, err
	}
}

// workerSection is the section [worker], which depends on the transports that the
// configuration has.
type workerSection struct {
	worker.Settings
	transports []*config.Table
}

// Validate implements config.Section.
func (s *workerSection) Validate(report func(key, reason string)) {
	s.Settings.Validate(report)
	if s.OrderedBy == "" {
		return
	}
	var kinds []string
	for name, table := range present("transport", s.transports) {
		keyed, ok := table.Section.(transport.KeyedConfig)
		if !ok {
			continue
		}
		for _, kind := range keyed.Keys() {
			if kind == s.OrderedBy {
				return
			}
			kinds = append(kinds, fmt.Sprintf("%q (transport.%s)", kind, name))
		}
	}
	if kinds == nil {
		report("ordered_by", fmt.Sprintf(`must be "": no transport has keys, is %q`, s.OrderedBy))
		return
	}
	report("ordered_by", fmt.Sprintf(`must be "" or %s, is %q`, strings.Join(kinds, " or "), s.OrderedBy))
}

// redelivers reports whether a transport delivers again what was not settled.
func (c *Configuration) redelivers() bool {
	for _, section := range c.Transports {
		if r, ok := section.(transport.RedeliveringConfig); ok && r.Redelivers() {
			return true
		}
	}
	return false
}

// chooseDatabase sets the database to the one whose section is there; of
// several, to the one that is to be used. It returns what is wrong, if it can't.
func (c *Configuration) chooseDatabase(databases []*config.Table) (wrong string) {
	var found []string
	for name, table := range present("database", databases) {
		found = append(found, name)
		if c.Database == nil || name == c.DatabaseSettings.Use {
			c.Database, c.databaseName = table.Section.(database.Config), name
		}
	}
	switch {
	case len(found) == 0 && len(databases) > 0:
		return "no section tells where to store: add " + sectionNames(databases)
	case len(found) > 1 && c.databaseName != c.DatabaseSettings.Use:
		return fmt.Sprintf("the sections of %s exclude each other, unless the key use names one of them", strings.Join(found, " and "))
	}
	return ""
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
// can't change live. Of the handler's own settings none can, unless it reloads.
func (c *Configuration) requireReloadable(to *Configuration, handlerReloads bool) error {
	_, restart := config.Changed(c.tables, to.tables)
	for name := range c.Unused {
		if _, used := to.Transports[name]; used {
			restart = append(restart, "transport."+name)
		}
	}
	for name := range to.Unused {
		if _, used := c.Transports[name]; used {
			restart = append(restart, "transport."+name)
		}
	}
	if !handlerReloads {
		own, _ := config.Changed(c.own, to.own)
		restart = append(restart, own...)
	}
	if len(restart) == 0 {
		return nil
	}
	slices.Sort(restart)
	return &RestartError{slices.Compact(restart)}
}

// reopensDatabase reports whether the change to another configuration takes
// another pool of connections.
func (c *Configuration) reopensDatabase(to *Configuration) bool {
	changed, _ := config.Changed(c.tables, to.tables)
	return c.Database != nil && slices.ContainsFunc(changed, func(key string) bool {
		switch key {
		case "database.connections", "database.max_lifetime", "database.max_idle_time":
			return true
		}
		return strings.HasPrefix(key, "database."+c.databaseName+".")
	})
}
