package generator

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Each archive of testdata/change is one change: what it is, a file before, and
// the file after or why it is refused. After means done: a second time changes
// nothing. Inverse means that the inverse leads back.
func TestChanges(t *testing.T) {
	archives, err := filepath.Glob("../testdata/change/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives: ", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			testChange(t, newCase(t, archive))
		})
	}
}

// changeCase is one archive.
type changeCase struct {
	files   map[string][]byte
	options []string // after the first line of the file "change"
	apply   func([]byte) ([]byte, error)
	inverse func([]byte) ([]byte, error)
}

func newCase(t *testing.T, archive *txtar.Archive) *changeCase {
	c := &changeCase{files: make(map[string][]byte)}
	for _, file := range archive.Files {
		c.files[file.Name] = file.Data
	}
	lines := strings.Split(strings.TrimSpace(string(c.files["change"])), "\n")
	c.options = lines[1:]
	args := strings.Fields(lines[0])
	needs, err := readPins("needs", c.files["needs"], c.files["needs"])
	switch args[0] {
	case "splice":
		e := entry{file: "wire.go", variable: args[1], key: args[2], path: args[3], alias: "transport" + args[2], module: "example.com/feed"}
		c.apply = func(old []byte) ([]byte, error) {
			added, err := addEntry(old, e)
			if errors.Is(err, errNoLiteral) {
				err = e.refusal()
			}
			return added, err
		}
		c.inverse = func(old []byte) ([]byte, error) { return removeEntry(old, e) }
	case "section":
		c.apply = func(old []byte) ([]byte, error) { return addSection(old, args[1], c.files["fragment"]) }
		c.inverse = func(old []byte) ([]byte, error) { return removeSection(old, args[1]) }
	case "require":
		if err != nil {
			t.Fatal(err)
		}
		c.apply = func(old []byte) ([]byte, error) { return addModules(old, needs.modules) }
		c.inverse = func(old []byte) ([]byte, error) { return removeModules(old, needs.modules, nil) }
	case "sums":
		sums := sumLines(c.files["needs"])
		c.apply = func(old []byte) ([]byte, error) { return addSums(old, sums) }
		c.inverse = func(old []byte) ([]byte, error) { return removeSums(old, sums, nil) }
	case "create":
		c.apply = create(File{Path: "x", After: c.files["fragment"]}).apply
	default:
		t.Fatalf("unknown change %q", args[0])
	}
	if slices.Contains(c.options, "crlf") {
		for _, name := range []string{"before", "after"} {
			c.files[name] = bytes.ReplaceAll(c.files[name], []byte("\n"), []byte("\r\n"))
		}
	}
	return c
}

func testChange(t *testing.T, c *changeCase) {
	before := slices.Clone(c.files["before"])
	got, err := c.apply(c.files["before"])
	if !bytes.Equal(before, c.files["before"]) {
		t.Error("what was given was changed in place")
	}
	if why, refused := c.files["refused"]; refused {
		if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(string(why))) {
			t.Errorf("error %v, want %s", err, why)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	same(t, "after", got, c.files["after"])
	again, err := c.apply(got)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "a second time", again, got)
	if slices.Contains(c.options, "inverse") {
		back, err := c.inverse(got)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "the inverse", back, before)
	}
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		diff := (&Plan{Files: []File{{Path: "file", Before: want, After: got}}}).Diff()
		t.Errorf("%s: wanted is -, got is +\n%s", what, diff)
	}
}

func ExamplePlan_Diff() {
	plan := &Plan{Files: []File{
		{Path: "go.mod", Before: []byte("one\ntwo\n"), After: []byte("one\nand\ntwo\n")},
		{Path: "new.txt", After: []byte("hello\n")},
	}}
	fmt.Print(plan.Diff())
	// Output:
	// --- a/go.mod
	// +++ b/go.mod
	// @@ -1,2 +1,3 @@
	//  one
	// +and
	//  two
	// --- /dev/null
	// +++ b/new.txt
	// @@ -0,0 +1 @@
	// +hello
}

// The diff of an addition, given to git apply, is the addition.
func TestDiffApplies(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
	plan, err := src.add(root, []Ref{smallFeatures[0].Ref, smallFeatures[4].Ref})
	if err != nil {
		t.Fatal(err)
	}
	patch := filepath.Join(t.TempDir(), "patch")
	if err := os.WriteFile(patch, []byte(plan.Diff()), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, root, "GIT_DIR=/nowhere", "git", "apply", patch)
	want := contents(mustPlan(t, src, plan.Spec))
	sameFiles(t, "patched", diskFiles(t, root), want)
}
