package templates_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// The C library beneath SQLite is the one that SQLite was translated with, as
// modernc.org/sqlite asks for ("Fragile modernc.org/libc dependency"): another
// module must not ask for a newer one.
func TestLibcOfSQLite(t *testing.T) {
	const sqlite, libc = "modernc.org/sqlite", "modernc.org/libc"
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.GoMod}}", sqlite).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := versionOf(t, strings.TrimSpace(string(out)), libc)
	if got := versionOf(t, "../go.mod", libc); got != want {
		t.Errorf("%s is %s, where %s has %s", libc, got, sqlite, want)
	}
}

func versionOf(t *testing.T, goMod, module string) string {
	t.Helper()
	text, err := os.ReadFile(goMod)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse(goMod, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range file.Require {
		if r.Mod.Path == module {
			return r.Mod.Version
		}
	}
	t.Fatalf("%s does not require %s", goMod, module)
	return ""
}
