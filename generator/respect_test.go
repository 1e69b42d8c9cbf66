package generator

// Respect: what a person did to the shared files survives an addition, or the
// addition is refused and touches nothing.

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/daemongen/daemongen/templates"
)

func TestLawRespect(t *testing.T) {
	refused := 0
	eachHouse(t, func(t *testing.T, _ templates.House, src *source) {
		r := random(t)
		for range rounds(40, src) {
			spec := randomSpec(r, src)
			var missing []Ref
			for _, f := range src.features {
				if !slices.Contains(spec.refs(), f.Ref) && (f.Kind != templates.Database || spec.Database == "") {
					missing = append(missing, f.Ref)
				}
			}
			if len(missing) == 0 {
				continue
			}
			root := written(t, mustPlan(t, src, spec))
			edits := randomEdits(t, r, root, wordsOf(spec.Name, spec.Module))
			if !respects(t, src, root, missing[r.IntN(len(missing))]) {
				refused++
			}
			if t.Failed() {
				t.Fatalf("spec %+v, edits %v", spec, edits)
			}
		}
	})
	if refused == 0 && !t.Failed() {
		t.Error("no edit was one to refuse; the edits are too tame")
	}
}

// respects adds a feature, and reports whether it was not refused.
func respects(t *testing.T, src *source, root string, ref Ref) bool {
	t.Helper()
	before := diskFiles(t, root)
	plan, err := src.add(root, []Ref{ref})
	if err == nil {
		if err := plan.Verify(); err != nil {
			t.Fatalf("add %v: %v", ref, err)
		}
		err = plan.Apply(t.Context())
	}
	after := diskFiles(t, root)
	if err != nil {
		var refusal *RefusedError
		if !errors.As(err, &refusal) || refusal.Hint == "" || len(refusal.Paths) == 0 {
			t.Errorf("add %v: %#v", ref, err)
		}
		sameFiles(t, "after a refusal", after, before)
		return false
	}
	for name, old := range before {
		now := after[name]
		switch {
		case name == ManifestName, old == now:
		case name == goMod:
			keepsModules(t, []byte(old), []byte(now))
		case !survives(old, now):
			t.Errorf("%s lost something:\n%s", name, (&Plan{Files: []File{{Path: name, Before: []byte(old), After: []byte(now)}}}).Diff())
		case filepath.Ext(name) == ".toml":
			keepsValues(t, []byte(old), []byte(now))
		}
	}
	again, err := src.add(root, []Ref{ref})
	if err != nil || !again.Empty() {
		t.Errorf("add %v a second time: %v\n%s", ref, err, again.Diff())
	}
	return true
}

// survives reports whether all of old, white space aside, is in now, in order.
func survives(old, now string) bool {
	rest := []rune(now)
	for _, r := range old {
		if unicode.IsSpace(r) {
			continue
		}
		i := slices.Index(rest, r)
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

// keepsModules checks that a go.mod requires what it did, or newer, and has the
// same comments and replacements.
func keepsModules(t *testing.T, old, now []byte) {
	t.Helper()
	was, err1 := modfile.Parse(goMod, old, nil)
	is, err2 := modfile.Parse(goMod, now, nil)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatalf("%v\n%s", err, now)
	}
	required := func(r *modfile.Require) bool {
		return slices.ContainsFunc(is.Require, func(other *modfile.Require) bool {
			return other.Mod.Path == r.Mod.Path && semver.Compare(other.Mod.Version, r.Mod.Version) >= 0
		})
	}
	for _, r := range was.Require {
		if !required(r) {
			t.Errorf("%v is gone:\n%s", r.Mod, now)
		}
	}
	comments := func(text []byte) int {
		return bytes.Count(text, []byte("//")) - bytes.Count(text, []byte("// indirect"))
	}
	if comments(old) != comments(now) || len(was.Replace) != len(is.Replace) {
		t.Errorf("before:\n%s\nafter:\n%s", old, now)
	}
}

// keepsValues checks that a configuration has the values that it had.
func keepsValues(t *testing.T, old, now []byte) {
	t.Helper()
	var was, is map[string]any
	if err := errors.Join(toml.Unmarshal(old, &was), toml.Unmarshal(now, &is)); err != nil {
		t.Fatalf("%v\n%s", err, now)
	}
	var within func(was, is map[string]any) bool
	within = func(was, is map[string]any) bool {
		for key, value := range was {
			table, ok := value.(map[string]any)
			other, _ := is[key].(map[string]any)
			if ok && !within(table, other) || !ok && !reflect.DeepEqual(value, is[key]) {
				return false
			}
		}
		return true
	}
	if !within(was, is) {
		t.Errorf("a value is another one:\n%s", (&Plan{Files: []File{{Path: "config", Before: old, After: now}}}).Diff())
	}
}

// edit is something that people do to a file.
type edit struct {
	name string
	do   func(r *rand.Rand, text string) string
}

// insertLine returns the edit that puts a line before a random one.
func insertLine(line string) edit {
	return edit{line, func(r *rand.Rand, text string) string {
		lines := strings.SplitAfter(text, "\n")
		return strings.Join(slices.Insert(lines, r.IntN(len(lines)), line+"\n"), "")
	}}
}

func replaceEdit(name string, oldnew ...string) edit {
	return edit{name, func(_ *rand.Rand, text string) string { return strings.NewReplacer(oldnew...).Replace(text) }}
}

var (
	toCRLF = replaceEdit("CRLF", "\n", "\r\n")

	wireEdits = []edit{
		insertLine("// a comment"),
		insertLine("\t// an indented comment"),
		insertLine(""),
		replaceEdit("extra entries", "Config{\n", "Config{\n\t\"a-first\": nil,\n\t// the last\n\t\"zz\": nil, // really\n", "Config{}", `Config{"mine": nil}`),
		replaceEdit("one line", "Config{\n\t", "Config{", ",\n}", "}", ",\n\t\"", ", \""),
		replaceEdit("spaces", "\t", "    "),
		replaceEdit("no layout", " = ", "=", "\n\n", "\n"),
		replaceEdit("renamed", "Transports", "Ways"),
		replaceEdit("a function", "var Databases = map", "var Databases = ours()\n\nvar databases = map"),
		replaceEdit("broken", "package wire", "package"),
		{"reordered", func(r *rand.Rand, text string) string {
			lines := strings.SplitAfter(text, "\n")
			for i := 1; i < len(lines); i++ {
				if strings.Contains(lines[i], ".Default,") && strings.Contains(lines[i-1], ".Default,") {
					lines[i], lines[i-1] = lines[i-1], lines[i]
				}
			}
			return strings.Join(lines, "")
		}},
		toCRLF,
	}

	configEdits = []edit{
		insertLine("# a comment"),
		insertLine(""),
		replaceEdit("no blank lines", "\n\n", "\n"),
		replaceEdit("values", `"nobody"`, `"me" # myself`, "4", "17"),
		replaceEdit("headers", "[log]", "  [ log ]  # ours", "[transport.", "[ transport . "),
		replaceEdit("broken", "[log]", "[log"),
		{"extra sections", func(_ *rand.Rand, text string) string {
			return "mine = 1\n\n# Mail.\n[mail]\nhost = \"x\"\n\n" + text + "\n\n# Queue.\n[[queue]]\nname = '''\n[transport.tcp]'''\n\n"
		}},
		{"sections removed", func(_ *rand.Rand, text string) string {
			head, rest, _ := strings.Cut(text, "[log]\n")
			_, tail, _ := strings.Cut(rest, "[worker]\n")
			return head + tail
		}},
		{"no line break at the end", func(_ *rand.Rand, text string) string { return strings.TrimRight(text, "\n") }},
		toCRLF,
	}

	modEdits = []edit{
		insertLine("// a comment"),
		insertLine(""),
		replaceEdit("replaced", "\ngo 1.26.0\n", "\ngo 1.26.0\n\nreplace example.org/x => ../x\n\nrequire example.org/x v1.0.0 // ours\n"),
		toCRLF,
	}
)

// randomEdits changes the shared files of a project, and says how.
func randomEdits(t *testing.T, r *rand.Rand, root string, w words) []string {
	t.Helper()
	var done []string
	for _, shared := range []struct {
		path  string
		edits []edit
	}{{w.pathOf(templates.Wire), wireEdits}, {w.pathOf(templates.Config), configEdits}, {goMod, modEdits}} {
		name := filepath.Join(root, filepath.FromSlash(shared.path))
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, i := range r.Perm(len(shared.edits))[:r.IntN(4)] {
			edit := shared.edits[i]
			changed := edit.do(r, text)
			if shared.path != goMod && edit.name != "broken" && !readable(shared.path, text, changed) {
				continue
			}
			text = changed
			done = append(done, shared.path+": "+edit.name)
		}
		write(t, name, []byte(text))
	}
	return done
}

// readable reports whether an edit left the file as readable as it was: none of
// them means to break it, and two of them together might.
func readable(name, before, after string) bool {
	check := func(text string) error {
		return checkForm(File{Path: name, Before: []byte{}, After: bytes.ReplaceAll([]byte(text), []byte("\r\n"), []byte("\n"))})
	}
	if strings.HasSuffix(name, ".go") {
		check = func(text string) error { _, err := parseGo(name, []byte(text)); return err }
	}
	return check(after) == nil || check(before) != nil
}
