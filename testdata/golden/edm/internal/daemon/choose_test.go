package daemon

import (
	"path/filepath"
	"strings"
	"testing"

	"example.com/edm/internal/database"
)

// plainDatabase is one that nobody opens.
type plainDatabase struct {
	database.Config
	Path string `toml:"path"`
}

func (*plainDatabase) Validate(func(key, reason string)) {}

// The database is the one whose section is there, or of several the one to use.
func TestChooseDatabase(t *testing.T) {
	const one, two, use = "[database.one]\npath = ''\n", "[database.two]\npath = ''\n", "[database]\nuse = 'two'\n"
	for _, tt := range []struct{ text, name, wrong string }{
		{one, "one", ""},
		{two, "two", ""},
		{use + one, "one", ""},
		{use + one + two, "two", ""},
		{one + two, "", "the sections of one and two exclude each other, unless the key use names one of them"},
		{"[database]\nuse = 'three'\n" + one + two, "", "the sections of one and two exclude each other, unless the key use names one of them"},
		{use, "", "no section tells where to store: add [database.one] or [database.two]"},
	} {
		parts := Parts{Name: "test", Databases: map[string]func() database.Config{}}
		for _, name := range []string{"one", "two"} {
			parts.Databases[name] = func() database.Config { return &plainDatabase{} }
		}
		parts.LookupEnv = func(string) (string, bool) { return "", false }
		file := filepath.Join(t.TempDir(), "test.toml")
		c, err := LoadConfiguration(parts, file, []byte("[daemon]\nuser = 'root'\n"+tt.text))
		switch {
		case err != nil:
			if tt.wrong == "" || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%q: %v, want %q", tt.text, err, tt.wrong)
			}
		case c.databaseName != tt.name || tt.wrong != "":
			t.Errorf("%q: the database is %q, want %q %s", tt.text, c.databaseName, tt.name, tt.wrong)
		}
	}
}
