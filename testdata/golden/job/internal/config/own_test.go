package config

import (
	"slices"
	"testing"
	"time"
)

// ownSections is what a table without a name may hold.
type ownSections struct {
	DB struct {
		Host     string        `toml:"host"`
		Port     int           `toml:"port"`
		Timeout  time.Duration `toml:"timeout"`
		User     string        `toml:"user" reload:"restart"`
		Replicas struct {
			Hosts []string `toml:"hosts"`
		} `toml:"replicas"`
	} `toml:"db"`
	Limits struct {
		Labels map[string]int `toml:"labels"`
	} `toml:"limits"`

	Untagged string
}

func (s *ownSections) Validate(report func(key, reason string)) {
	if s.DB.Port < 1 {
		report("db.port", "must be at least 1")
	}
	if s.DB.Host == "impossible" {
		report("", "contradicts itself")
	}
}

func newOwn() ([]*Table, *ownSections) {
	own := &ownSections{}
	own.DB.Host, own.DB.Port = "localhost", 3306
	tables, _ := newTables()
	return append(tables, &Table{Section: own}), own
}

func TestOwnSections(t *testing.T) {
	tables, own := newOwn()
	file := write(t, "[db]\nhost = \"db1\"\ntimeout = \"3s\"\n[db.replicas]\nhosts = [\"a\", \"b\"]\n[limits]\nlabels = { x = 1 }\n")
	if err := Load(file, environ(map[string]string{"TEST_DB_USER": "feed", "TEST_DB_REPLICAS_HOSTS": "c"}), tables); err != nil {
		t.Fatal(err)
	}
	db := own.DB
	if db.Host != "db1" || db.Port != 3306 || db.Timeout != 3*time.Second || db.User != "feed" ||
		!slices.Equal(db.Replicas.Hosts, []string{"c"}) || own.Limits.Labels["x"] != 1 {
		t.Errorf("got %+v", own)
	}
}

func TestOwnSectionsBroken(t *testing.T) {
	tests := []struct {
		name, text string
		variables  map[string]string
		want       []string
	}{
		{"unknown key", "[db]\nhots = \"a\"\n", nil, []string{"2:1: db.hots: unknown key; did you mean host?"}},
		{"unknown section", "[worker]\n[dbs]\n", nil, []string{"2:2: dbs: unknown section; known are db, limits, transport.tcp, transport.udp, worker"}},
		{"unknown section below", "[db.replica]\n", nil, []string{"1:2: db.replica: unknown section; known are db, limits, transport.tcp, transport.udp, worker"}},
		{"key outside", "host = \"a\"\n", nil, []string{"1:1: host: unknown key outside of the sections, which are db, limits, transport.tcp, transport.udp, worker"}},
		{"not a section", "db = 1\n", nil, []string{"1:1: db: is a section and must be written [db]"}},
		{"type", "\n[db]\nport = \"x\"\n", nil, []string{"3:1: db.port: must be an integer, is a string"}},
		{"range", "[db]\nport = 0\n", nil, []string{"2:1: db.port: must be at least 1"}},
		{"range without a line", "[worker]\n", map[string]string{"TEST_DB_PORT": "0"}, []string{"environment variable TEST_DB_PORT: db.port: must be at least 1"}},
		{"as a whole", "[db]\nhost = \"impossible\"\n", nil, []string{"1:1: contradicts itself"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tables, _ := newOwn()
			file := write(t, test.text)
			if got := problemLines(t, Load(file, environ(test.variables), tables), file); !slices.Equal(got, test.want) {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
		})
	}
}

func TestOwnSectionsChanged(t *testing.T) {
	from, _ := newOwn()
	to, own := newOwn()
	own.DB.Host, own.DB.User = "other", "other"
	all, restart := Changed(from, to)
	if !slices.Equal(all, []string{"db.host", "db.user"}) || !slices.Equal(restart, []string{"db.user"}) {
		t.Errorf("changed %v, restart %v", all, restart)
	}
}

// A table without a name has no keys, and no section that is there already.
func TestOwnSectionsImpossible(t *testing.T) {
	type section struct {
		X int `toml:"x"`
	}
	for _, test := range []struct {
		section Section
		want    string
	}{
		{&struct {
			unchecked
			Worker section `toml:"worker"`
		}{}, " worker: is the name of a section that the service has already; call yours something else"},
		{&struct {
			unchecked
			Transport struct {
				UDS section `toml:"uds"`
			} `toml:"transport"`
		}{}, " transport: is the name of a section that the service has already; call yours something else"},
		{&struct {
			unchecked
			Host string `toml:"host"`
		}{}, " host: must be a section, so a struct in Go, is of the type string"},
		{&struct {
			unchecked
			DB *section `toml:"db"`
		}{}, " db: must be a section, so a struct in Go, is of the type *config.section"},
	} {
		tables, _ := newTables()
		tables = append(tables, &Table{Section: test.section})
		file := write(t, "[worker]\ncount = 4\n")
		if got := problemLines(t, Load(file, environ(nil), tables), file); !slices.Equal(got, []string{test.want}) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// unchecked is embedded into sections that have nothing to validate.
type unchecked struct{}

func (unchecked) Validate(func(key, reason string)) {}
