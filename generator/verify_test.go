package generator

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

func TestVerify(t *testing.T) {
	before := []byte("package  wire\n") // not as gofmt does it
	for _, test := range []struct {
		file File
		want string
	}{
		{File{Path: "a.go", After: []byte("package a\n")}, ""},
		{File{Path: "a.go", After: []byte("package a\n\nfunc\n")}, "a.go:3:6: expected"},
		{File{Path: "a.go", After: []byte("package a;\n")}, "a.go: is not laid out as gofmt does it"},
		{File{Path: "a.go", Before: before, After: []byte("package  wire;\n")}, ""},
		{File{Path: "a.go", Before: []byte("package wire\r\n"), After: []byte("package wire\r\n\r\nvar x int\r\n")}, ""},
		{File{Path: "a.go", Before: []byte("package wire\n"), After: []byte("package  wire\n")}, "is not laid out"},
		{File{Path: "a.go", After: []byte("package a\n\nimport \"os\"\n")}, `a.go: "os" is imported and not used`},
		{File{Path: "a.go", After: []byte("package a\n\nimport _ \"os\"\n")}, ""},
		{File{Path: "a.go", After: []byte("package a\n\nimport \"a.b/go-toml/v2\"\n\nvar _ = toml.X\n")}, ""},
		{File{Path: "a.go", After: []byte("package a\n\nimport x \"os\"\n\nvar _ = os.X\n")}, `"os" is imported and not used`},
		{File{Path: "a.go", Before: []byte("package a\n\nimport \"os\"\n"), After: []byte("package a\n\nimport \"os\"\n\nvar x int\n")}, ""},
		{File{Path: "go.mod", After: []byte("module a.b/c\n")}, ""},
		{File{Path: "go.mod", After: []byte("modul a.b/c\n")}, "go.mod:1: unknown directive"},
		{File{Path: "a.toml", After: []byte("x = 1\n")}, ""},
		{File{Path: "a.toml", After: []byte("x = 1\nx = 2\n")}, "a.toml:2:1: "},
		{File{Path: ManifestName, After: []byte("{")}, ".daemongen.json: unexpected end"},
		{File{Path: "a.txt", After: []byte("see exampled\n")}, `a.txt: "xampled" was left behind`},
		{File{Path: "a.txt", After: []byte("see Exampled\n")}, `"xampled" was left behind`},
		{File{Path: "a.txt", After: []byte("see EXAMPLED_X\n")}, `"XAMPLED" was left behind`},
		{File{Path: "a.txt", After: []byte("<no value>\n")}, `"<no value>" was left behind`},
		{File{Path: "a.txt", After: []byte("{{ .Name }}\n")}, `"{{ ." was left behind`},
		{File{Path: "a.txt", Before: []byte(""), After: []byte("exampled by hand\n")}, ""},
	} {
		err := (&Plan{Spec: Spec{Name: "feed"}, Files: []File{test.file}}).Verify()
		var failed *VerifyError
		if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &failed) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s %q: %v, want %q", test.file.Path, test.file.After, err, test.want)
		}
	}
	// Somebody who asks for the word gets it.
	plan := &Plan{Spec: Spec{Name: "feed", Set: map[string]string{"log.file": "/exampled"}},
		Files: []File{{Path: "a.toml", After: []byte(`x = "/exampled"`)}}}
	if err := plan.Verify(); err != nil {
		t.Error(err)
	}
	// All problems at once, in the order of the files.
	plan = &Plan{Files: []File{{Path: "a.go", After: []byte("x")}, {Path: "go.mod", After: []byte("x")}}}
	var failed *VerifyError
	if !errors.As(plan.Verify(), &failed) || len(failed.Problems) != 2 || failed.Hint == "" {
		t.Errorf("%#v", failed)
	}
}

// A house that is broken is a bug of ours, not the user's.
func TestBrokenHouse(t *testing.T) {
	for _, test := range []struct{ where, path, text, want string }{
		{"exemplar", "bad.go", "package", "bad.go:1:8: expected 'IDENT'"},
		{"exemplar", "bad.go", "package x\n\nimport \"os\"\n", `bad.go: "os" is imported and not used`},
		{"exemplar", "internal/wire/wire.go", "package wire\n", "no map literal"},
		{"exemplar", "configs/exampled.toml", "[daemon\n", "1:8:"},
		{"exemplar", "configs/exampled.toml", "[daemon]\n", "there is no section [transport."},
		{"text", "bad.tmpl", "{{ .Nothing }}", "can't evaluate field Nothing"},
		{"text", "bad.tmpl", "{{", "unclosed action"},
		{"modules", "bare.mod", "modul x", "unknown directive"},
		{"modules", "transport.tcp.mod", "require x", "usage: require"},
	} {
		house := smallHouse(t)
		folder := map[string]any{"exemplar": house.Exemplar, "text": house.Text, "modules": house.Modules}[test.where].(fstest.MapFS)
		folder[test.path] = &fstest.MapFile{Data: []byte(test.text)}
		src, err := read(house)
		if err == nil {
			_, err = src.plan(fullSpec)
		}
		var bug *BugError
		if !errors.As(err, &bug) || bug.Hint == "" || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: %T: %v, want %q", test.where, test.path, err, err, test.want)
		}
	}
}

func TestImportName(t *testing.T) {
	for line, want := range map[string]string{
		`"os"`: "os", `"net/http"`: "http", `x "os"`: "x", `"a.b/c/v2"`: "c", `"a.b/go-c/v3"`: "c", `"a.b/c.v1"`: "c", `"a.b/v2"`: "b"[:0],
	} {
		f, err := parseGo("x.go", []byte(fmt.Sprintf("package x\n\nimport %s\n", line)))
		if err != nil {
			t.Fatal(err)
		}
		if got := importName(f.tree.Imports[0]); want != "" && got != want {
			t.Errorf("%s is known as %q, want %q", line, got, want)
		}
	}
}
