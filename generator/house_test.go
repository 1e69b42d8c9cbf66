package generator

// The small house of testdata/house.txtar, and random specs for it.

import (
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/daemongen/daemongen/templates"
)

var smallFeatures = []templates.Feature{
	{Ref: Ref{Kind: templates.Transport, Name: "tcp"}, Folders: []string{"internal/transport/tcp", "internal/transport/stream"}},
	{Ref: Ref{Kind: templates.Transport, Name: "carrier"}, Folders: []string{"internal/transport/carrier"}},
	{Ref: Ref{Kind: templates.Transport, Name: "pipe"}, Folders: []string{"internal/transport/pipe", "internal/transport/stream", "deploy/hose"}},
	{Ref: Ref{Kind: templates.Database, Name: "shelf"}, Folders: []string{"internal/database/shelf"}},
	{Ref: Ref{Kind: templates.Database, Name: "lake"}, Folders: []string{"internal/database/lake"}},
	{Ref: Ref{Kind: templates.Component, Name: "metrics"}, Folders: []string{"internal/component/metrics", "deploy/hose"}},
	{Ref: Ref{Kind: templates.Deploy, Name: "crate"}, Folders: []string{"deploy/crate"}},
}

// smallHouse returns the house of testdata/house.txtar. Its files are the
// caller's to change.
func smallHouse(t testing.TB) templates.House {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/house.txtar")
	if err != nil {
		t.Fatal(err)
	}
	all := make(fstest.MapFS)
	for _, file := range archive.Files {
		all[file.Name] = &fstest.MapFile{Data: file.Data}
	}
	house := templates.House{
		Exemplar: below(all, "exampled/"),
		Text:     below(all, "text/"),
		Modules:  below(all, "modules/"),
		Names:    all["names.txt"].Data,
		Features: smallFeatures,
		Presets:  []templates.Preset{{Name: "bait"}},
	}
	return house
}

func below(all fstest.MapFS, prefix string) fstest.MapFS {
	part := make(fstest.MapFS)
	for name, file := range all {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			part[rest] = file
		}
	}
	return part
}

func readHouse(t testing.TB, house templates.House) *source {
	t.Helper()
	src, err := read(house)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// eachHouse runs a test on the small house, and on the one that is built in.
func eachHouse(t *testing.T, test func(t *testing.T, house templates.House, src *source)) {
	t.Helper()
	for name, house := range map[string]templates.House{"small": smallHouse(t), "built in": templates.Shipped()} {
		t.Run(name, func(t *testing.T) { test(t, house, readHouse(t, house)) })
	}
}

// seed is the same for all tests of one run; it is printed where it matters.
var seed = sync.OnceValue(func() uint64 { return uint64(time.Now().UnixNano()) })

// random returns a source of random numbers, and says how to have it again.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	s := seed()
	if *seedFlag != 0 {
		s = *seedFlag
	}
	t.Logf("go test -seed %d", s)
	return rand.New(rand.NewPCG(s, 0))
}

var names = []string{"feed", "my-feed", "a", "x9", "fee-1-2", "mailer", "edm", "abcdefghij-abcdefghij-abcdefghij-abcdefg"}

// hosts sort before and after what else is imported.
var hosts = []string{"a.b/", "github.com/acme/", "zzz.org/x/y/"}

// randomSpec returns a normalized spec that src can render.
func randomSpec(r *rand.Rand, src *source) Spec {
	var s Spec
	s.Name = names[r.IntN(len(names))]
	if i := r.IntN(len(hosts) + 1); i < len(hosts) {
		s.Module = hosts[i] + names[r.IntN(len(names))]
	}
	for _, i := range r.Perm(len(src.features)) {
		f := src.features[i]
		if r.IntN(2) == 0 {
			s = s.with(f.Ref)
		}
	}
	if r.IntN(3) == 0 {
		s.User = "daemon"
	}
	for name, p := range src.presets {
		if r.IntN(3) == 0 && len(p.Needs) == 0 { // the laws begin with no feature at all
			s.Preset = name
		}
	}
	return s.Normalize()
}

// bareOf returns the spec without its features.
func bareOf(s Spec) Spec {
	s.Transports, s.Database, s.Components, s.Deploy = nil, "", nil, nil
	return s.Normalize()
}

func mustPlan(t testing.TB, src *source, spec Spec) *Plan {
	t.Helper()
	plan, err := src.plan(spec.Normalize())
	if err != nil {
		t.Fatalf("%+v: %v", spec, err)
	}
	return plan
}

// contents returns the files of a plan for a whole project.
func contents(p *Plan) map[string]string {
	files := make(map[string]string)
	for _, file := range p.Files {
		files[file.Path] = string(file.After)
	}
	return files
}

// sameFiles reports the first difference between two projects.
func sameFiles(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	var paths []string
	for name := range got {
		paths = append(paths, name)
	}
	for name := range want {
		paths = append(paths, name)
	}
	slices.Sort(paths)
	for _, name := range slices.Compact(paths) {
		g, inGot := got[name]
		w, inWant := want[name]
		switch {
		case !inGot:
			t.Errorf("%s: %s is missing", what, name)
		case !inWant:
			t.Errorf("%s: %s is too many", what, name)
		case g != w:
			diff := (&Plan{Files: []File{{Path: name, Before: []byte(w), After: []byte(g)}}}).Diff()
			t.Errorf("%s: %s differs:\n%s", what, name, diff)
		}
	}
}

// filesOf returns the files that ship of an exemplar, without those of presets.
func filesOf(t testing.TB, exemplar fs.FS) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(exemplar, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && name == templates.PresetFolder {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || !templates.Ships(name) {
			return err
		}
		data, err := fs.ReadFile(exemplar, name)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
