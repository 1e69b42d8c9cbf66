package generator

// The laws of the generator, on random specs: what holds for every project
// that can be asked for, so that no test has to list them.

import (
	"bytes"
	"errors"
	"flag"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/daemongen/daemongen/templates"
)

var update = flag.Bool("update", false, "write what is recorded anew: golden projects, module pins, names")

var seedFlag = flag.Uint64("seed", 0, "number from which the random specs are made")

// Random specs a law: those on the disk wait for it.
const (
	inMemory = 60
	onDisk   = 16
)

// eachSpec calls law with about so many random specs of every house.
func eachSpec(t *testing.T, n int, law func(t *testing.T, src *source, spec Spec)) {
	eachHouse(t, func(t *testing.T, _ templates.House, src *source) {
		r := random(t)
		for range rounds(n, src) {
			spec := randomSpec(r, src)
			law(t, src, spec)
			if t.Failed() {
				t.Fatalf("spec: %+v", spec)
			}
		}
	})
}

// rounds returns n for the small house, and fewer for one with more files: the
// mechanism is the same.
func rounds(n int, src *source) int { return max(n*10/(len(src.bare)+4), 3) }

// Determinism: the same spec, the same bytes.
func TestLawDeterminism(t *testing.T) {
	eachSpec(t, inMemory, func(t *testing.T, src *source, spec Spec) {
		sameFiles(t, "second time", contents(mustPlan(t, src, spec)), contents(mustPlan(t, src, spec)))
	})
}

// Orthogonality: a feature brings the files of its folders, has entries in the
// shared ones, and changes no other. What is in a folder that several features
// list is the same whichever of them brings it.
func TestLawOrthogonality(t *testing.T) {
	eachSpec(t, inMemory, func(t *testing.T, src *source, spec Spec) {
		w := wordsOf(spec.Name, spec.Module)
		shared := []string{w.pathOf(templates.Wire), w.pathOf(templates.Config), goMod, goSum, ManifestName}
		bare := contents(mustPlan(t, src, bareOf(spec)))
		want := maps.Clone(bare)
		for _, ref := range spec.refs() {
			alone := contents(mustPlan(t, src, bareOf(spec).with(ref)))
			for _, name := range shared {
				delete(alone, name)
			}
			own := make(map[string]bool)
			for _, o := range src.owned[ref] {
				own[w.pathOf(o.path)] = true
			}
			for name, data := range alone {
				switch before, ok := want[name]; {
				case !own[name] && data != bare[name]:
					t.Errorf("%v changes %s", ref, name)
				case own[name] && ok && data != before:
					t.Errorf("%v brings another %s", ref, name)
				}
				want[name] = data
			}
		}
		got := contents(mustPlan(t, src, spec))
		for _, name := range shared {
			delete(got, name)
			delete(want, name)
		}
		sameFiles(t, "outside the shared files", got, want)
	})
}

// New is the fold of add, and the order of additions does not matter: any order
// of additions to the bare project on the disk makes the bytes of new.
func TestLawFoldAndCommutation(t *testing.T) {
	r := random(t)
	eachSpec(t, onDisk, func(t *testing.T, src *source, spec Spec) {
		root := written(t, mustPlan(t, src, bareOf(spec)))
		refs := spec.refs()
		for _, i := range r.Perm(len(refs)) {
			mustAdd(t, src, root, refs[i])
		}
		sameFiles(t, "folded", diskFiles(t, root), contents(mustPlan(t, src, spec)))
	})
}

// Idempotence: an addition that was made makes no change, each of the four
// changes leaves what it made, and additions at once are as good as one by one.
func TestLawIdempotence(t *testing.T) {
	eachSpec(t, onDisk, func(t *testing.T, src *source, spec Spec) {
		root := written(t, mustPlan(t, src, bareOf(spec)))
		mustAdd(t, src, root, spec.refs()...)
		sameFiles(t, "at once", diskFiles(t, root), contents(mustPlan(t, src, spec)))
		plan, err := src.add(root, spec.refs())
		if err != nil || !plan.Empty() || plan.Diff() != "" {
			t.Errorf("a second time: %v\n%s", err, plan.Diff())
		}
	})
}

// Add then remove is nothing, for each of the four changes.
func TestLawInverse(t *testing.T) {
	eachSpec(t, inMemory, func(t *testing.T, src *source, spec Spec) {
		w := wordsOf(spec.Name, spec.Module)
		for _, f := range src.features {
			if slices.Contains(spec.refs(), f.Ref) || f.Kind == templates.Database && spec.Database != "" {
				continue
			}
			with := contents(mustPlan(t, src, spec.with(f.Ref)))
			got := without(t, src, f, spec, w, with)
			want := contents(mustPlan(t, src, spec))
			delete(got, ManifestName)
			delete(want, ManifestName)
			sameFiles(t, "without "+f.Name, got, want)
		}
	})
}

// without takes a feature out of a project by the inverses of the four changes.
func without(t *testing.T, src *source, f templates.Feature, spec Spec, w words, files map[string]string) map[string]string {
	t.Helper()
	staying := src.of(spec.refs(), spec.Preset) // what it shares with others is theirs
	for _, o := range src.owned[f.Ref] {
		if !slices.ContainsFunc(staying, func(s original) bool { return s.path == o.path }) {
			delete(files, w.pathOf(o.path))
		}
	}
	edit := func(name string, change func([]byte) ([]byte, error)) {
		data, err := change([]byte(files[name]))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		files[name] = string(data)
	}
	if f.Kind.Variable() != "" {
		edit(w.pathOf(templates.Wire), func(old []byte) ([]byte, error) { return removeEntry(old, src.entry(f, w.Module)) })
		edit(w.pathOf(templates.Config), func(old []byte) ([]byte, error) {
			return removeSection(old, string(f.Kind)+"."+f.Name)
		})
	}
	kept, sums := slices.Clone(src.pins.modules), slices.Clone(src.pins.sums)
	for _, ref := range spec.refs() {
		for _, need := range src.needs[ref].modules {
			i := slices.IndexFunc(kept, func(r modfile.Require) bool { return r.Mod == need.Mod })
			if i < 0 {
				kept = append(kept, need)
			} else if !need.Indirect {
				kept[i].Indirect = false
			}
		}
		sums = append(sums, src.needs[ref].sums...)
	}
	edit(goMod, func(old []byte) ([]byte, error) { return removeModules(old, src.needs[f.Ref].modules, kept) })
	edit(goSum, func(old []byte) ([]byte, error) { return removeSums(old, src.needs[f.Ref].sums, sums) })
	return files
}

// A folder that several features list is in a project with any of them, as its
// user has left it: the next one that comes neither refuses nor changes what is
// there, and restores what is not. Nobody's files are in the way all the same.
func TestLawSharedFolders(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	tcp, pipe := Ref{Kind: templates.Transport, Name: "tcp"}, Ref{Kind: templates.Transport, Name: "pipe"}
	spec := bareOf(Spec{Name: "feed"})
	const file, theirs = "internal/transport/stream/stream.go", "package stream // mine\n\nconst Size = 1024\n"
	for _, test := range []struct {
		name string
		has  []Ref
		edit func(t *testing.T, path string)
		want string // "": refused
	}{
		{"nobody has it", nil, nil, contents(mustPlan(t, src, spec.with(tcp)))[file]},
		{"as it was", []Ref{tcp}, nil, contents(mustPlan(t, src, spec.with(tcp)))[file]},
		{"changed", []Ref{tcp}, func(t *testing.T, path string) { writeFile(t, path, theirs) }, theirs},
		{"removed", []Ref{tcp}, func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, contents(mustPlan(t, src, spec.with(tcp)))[file]},
		{"in the way", nil, func(t *testing.T, path string) { writeFile(t, path, theirs) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := written(t, mustPlan(t, src, spec))
			if len(test.has) > 0 {
				mustAdd(t, src, root, test.has...)
			}
			if test.edit != nil {
				test.edit(t, filepath.Join(root, file))
			}
			if test.want == "" {
				var refusal *RefusedError
				if _, err := src.add(root, []Ref{pipe}); !errors.As(err, &refusal) {
					t.Errorf("%v, want a refusal", err)
				}
				return
			}
			mustAdd(t, src, root, pipe)
			if got := diskFiles(t, root)[file]; got != test.want {
				t.Errorf("%s is now\n%s", file, got)
			}
			if plan, err := src.add(root, []Ref{pipe}); err != nil || !plan.Empty() {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Identity: the exemplar's own name, with all features, is the exemplar.
func TestLawIdentity(t *testing.T) {
	eachHouse(t, func(t *testing.T, house templates.House, src *source) {
		want := filesOf(t, house.Exemplar)
		got := make(map[string]string)
		// A project has one database at most, so it is one project for each.
		for _, db := range databases(src) {
			spec := Spec{Name: templates.Word, Module: templates.ImportPath, Database: db}
			for _, f := range src.features {
				if f.Kind != templates.Database {
					spec = spec.with(f.Ref)
				}
			}
			for path, data := range contents(mustPlan(t, src, spec)) {
				got[path] = data
			}
		}
		w := wordsOf(templates.Word, templates.ImportPath)
		wire, config := []byte(got[templates.Wire]), []byte(got[templates.Config])
		var err error
		for _, f := range src.features {
			if f.Kind != templates.Database {
				continue
			}
			if wire, err = addEntry(wire, src.entry(f, w.Module)); err != nil {
				t.Fatal(err)
			}
			if config, err = addSection(config, "database."+f.Name, src.pieces[f.Ref]); err != nil {
				t.Fatal(err)
			}
		}
		got[templates.Wire], got[templates.Config] = string(wire), string(config)
		for path := range got {
			if _, ok := want[path]; !ok {
				delete(got, path) // prose, modules and the manifest are not the exemplar's
			}
		}
		sameFiles(t, "rendered", got, want)
	})
}

func databases(src *source) []string {
	list := []string{""}
	for _, f := range src.features {
		if f.Kind == templates.Database {
			list = append(list, f.Name)
		}
	}
	return list
}

// No residue, and closure as far as it is seen without a compiler: every
// project passes its own verification, and gofmt has nothing to say.
func TestLawSound(t *testing.T) {
	eachSpec(t, inMemory, func(t *testing.T, src *source, spec Spec) {
		plan := mustPlan(t, src, spec)
		if err := plan.Verify(); err != nil {
			t.Error(err)
		}
		paths := make(map[string]bool)
		for _, file := range plan.Files {
			if paths[file.Path] {
				t.Errorf("%s is there twice", file.Path)
			}
			paths[file.Path] = true
			for _, word := range []string{"xampled", "XAMPLED", "<no value>"} {
				if bytes.Contains(file.After, []byte(word)) {
					t.Errorf("%s has %q", file.Path, word)
				}
			}
			if strings.Contains(file.Path, templates.Word) {
				t.Errorf("%s has the word in its path", file.Path)
			}
			if strings.HasSuffix(file.Path, ".go") {
				if laidOut, err := format.Source(file.After); err != nil || !bytes.Equal(laidOut, file.After) {
					t.Errorf("%s: gofmt: %v", file.Path, err)
				}
			}
		}
		if last := plan.Files[len(plan.Files)-1]; last.Path != ManifestName {
			t.Errorf("the last file is %s", last.Path)
		}
	})
}

// The answers of a project make the same project again.
func TestLawAnswers(t *testing.T) {
	eachSpec(t, inMemory, func(t *testing.T, src *source, spec Spec) {
		files := contents(mustPlan(t, src, spec))
		again, err := ReadAnswers([]byte(files[ManifestName]))
		if err != nil {
			t.Fatal(err)
		}
		sameFiles(t, "from its manifest", contents(mustPlan(t, src, again)), files)
	})
}

// written writes a project into a folder of the test.
func written(t testing.TB, plan *Plan) string {
	t.Helper()
	plan.Root = filepath.Join(t.TempDir(), "project")
	if err := plan.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	return plan.Root
}

func mustAdd(t testing.TB, src *source, root string, refs ...Ref) *Plan {
	t.Helper()
	plan, err := src.add(root, refs)
	if err != nil {
		t.Fatalf("add %v: %v", refs, err)
	}
	if err := plan.Verify(); err != nil {
		t.Fatalf("add %v: %v", refs, err)
	}
	if err := plan.Apply(t.Context()); err != nil {
		t.Fatalf("add %v: %v", refs, err)
	}
	return plan
}

// diskFiles returns all that is in a folder, with an entry for each empty one.
func diskFiles(t testing.TB, root string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			inside, err := os.ReadDir(name)
			if len(inside) == 0 {
				files[rel+"/"] = "empty folder"
			}
			return err
		}
		if target, err := os.Readlink(name); err == nil {
			files[rel] = "link to " + target
			return nil
		}
		data, err := os.ReadFile(name)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
