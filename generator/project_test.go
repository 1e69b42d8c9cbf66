package generator

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemongen/daemongen/templates"
)

func TestFindProject(t *testing.T) {
	root := written(t, mustPlan(t, readHouse(t, smallHouse(t)), fullSpec))
	for _, dir := range []string{"", "cmd", "internal/transport/tcp"} {
		if got, err := FindProject(filepath.Join(root, dir)); err != nil || got != root {
			t.Errorf("%s: %s, %v", dir, got, err)
		}
	}
	t.Chdir(filepath.Join(root, "cmd"))
	if got, err := FindProject("."); err != nil || got != root {
		t.Errorf("here: %s, %v", got, err)
	}
	var failed *FailedError
	if _, err := FindProject(t.TempDir()); !errors.As(err, &failed) || failed.Hint == "" {
		t.Errorf("outside: %v", err)
	}
	// A folder of that name is no manifest.
	outside := t.TempDir()
	if err := os.Mkdir(filepath.Join(outside, ManifestName), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindProject(outside); !errors.As(err, &failed) {
		t.Errorf("a folder: %v", err)
	}
}

// What a person has to put right first is refused, with the file and a hint.
func TestAddRefused(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	for _, test := range []struct{ path, old, new, want string }{
		{"go.mod", "module example.com/feed", "module github.com/me/feed", "go.mod says module github.com/me/feed, .daemongen.json says example.com/feed"},
		{"go.mod", "module", "modul", "go.mod"},
		{"go.mod", "go 1.26.0", "go one", "go.mod:3: invalid go version"},
		{"go.sum", "h1:both=", "h1:both=\nexample.org/bird v0.9.0 h1:evil=", "go.sum: another checksum for example.org/bird v0.9.0"},
		{"configs/feed.toml", "[log]", "[log", "configs/feed.toml:10:"},
		{"internal/wire/wire.go", "Transports = ", "Ways = ", "the variable Transports is gone"},
		{"internal/wire/wire.go", "package wire", "package", "internal/wire/wire.go:4:1: expected"},
		{".daemongen.json", `"name"`, `"nam"`, `.daemongen.json: from: unknown key "nam"`},
		{".daemongen.json", `"feed"`, `"../feed"`, `.daemongen.json: "../feed" is not a name`},
		{".daemongen.json", Version, "99.0.0", "the project is of daemongen 99.0.0, and this is " + Version},
	} {
		root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
		name := filepath.Join(root, test.path)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, name, []byte(strings.Replace(string(data), test.old, test.new, 1)))
		before := diskFiles(t, root)
		_, err = src.add(root, addedRefs)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) || refused.Hint == "" || refused.Paths[0] != test.path {
			t.Errorf("%s: %#v\n%v", test.path, err, err)
		}
		sameFiles(t, test.path, diskFiles(t, root), before)
	}
}

// A file of the user's in the place of a feature's is refused, with the diff.
func TestAddOverwrites(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
	for _, name := range []string{"internal/transport/carrier", "deploy/crate"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "internal/transport/carrier/carrier.go"), []byte("mine\n"))
	write(t, filepath.Join(root, "deploy/crate/feed.service"), []byte("mine too\n"))
	_, err := src.add(root, addedRefs)
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Paths) != 2 || strings.Count(err.Error(), "is there already, and differs") != 2 {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(refused.Diff, "-mine\n+// Package carrier takes letters.\n") || !strings.Contains(refused.Diff, "-mine too") {
		t.Errorf("the diff is\n%s", refused.Diff)
	}
}

// What is plugged in and edited is left as it is; what is missing of it comes
// back.
func TestAddAgain(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	plan := mustPlan(t, src, fullSpec)
	root := written(t, plan)
	edited := filepath.Join(root, "internal/transport/carrier/carrier.go")
	write(t, edited, []byte("package carrier // mine\n"))
	if err := os.Remove(filepath.Join(root, "deploy/crate/feed.service")); err != nil {
		t.Fatal(err)
	}
	want := contents(plan)
	want["internal/transport/carrier/carrier.go"] = "package carrier // mine\n"
	mustAdd(t, src, root, addedRefs...)
	sameFiles(t, "again", diskFiles(t, root), want)
}

func TestAddInvalid(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	root := written(t, mustPlan(t, src, Spec{Name: "feed", Database: "lake"}))
	for _, test := range []struct {
		ref  Ref
		want string
	}{
		{Ref{Kind: templates.Transport, Name: "carier"}, `transport: there is no transport "carier" (did you mean "carrier"?)`},
		{Ref{Kind: "sink", Name: "tcp"}, `kind: "sink" is nothing that can be plugged in (one of transport, database, component, deploy)`},
		{Ref{Kind: templates.Database, Name: "shelf"}, `database: the project has the database lake already, and one is the most it can have (remove that one first: daemongen remove database lake)`},
	} {
		_, err := src.add(root, []Ref{test.ref})
		if got := problemsOf(t, err); len(got) != 1 || got[0] != test.want {
			t.Errorf("%v: %v, want %s", test.ref, got, test.want)
		}
	}
}

// An addition says what it does to each file.
func TestAddNotes(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
	plan := mustAdd(t, src, root, addedRefs[0])
	var got []string
	for _, file := range plan.Files {
		got = append(got, file.Path+": "+file.Change+" "+strings.Join(file.Notes, "; "))
	}
	want := strings.TrimSpace(`
configs/feed.toml: section section [transport.carrier]
go.mod: require module example.org/bird v0.9.0, example.org/both v1.1.0
go.sum: require checksums of example.org/bird v0.9.0, example.org/both v1.1.0
internal/transport/carrier/carrier.go: create 
internal/transport/carrier/nest/nest.go: create 
internal/wire/wire.go: splice entry "carrier" of Transports
.daemongen.json: manifest `)
	if strings.TrimSpace(strings.Join(got, "\n")) != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
