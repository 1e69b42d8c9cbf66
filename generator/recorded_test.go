package generator

// What is recorded from the exemplar by go test ./generator -update, and held
// to be up to date by a plain go test: names, module pins, golden projects.

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"

	"github.com/daemongen/daemongen/templates"
)

// recorded compares what is recorded in a file with what it should be, and
// writes it anew with -update.
func recorded(t *testing.T, file, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	if !*update {
		diff := (&Plan{Files: []File{{Path: path.Base(file), Before: []byte(got), After: []byte(want)}}}).Diff()
		t.Errorf("%s is not up to date; go test ./generator -update writes it\n%s", file, diff)
		return
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The pins of a project without features, and what each feature adds to them,
// are those of go mod tidy, beginning with the versions of our own go.mod.
func TestModulePins(t *testing.T) {
	bareMod, bareSum := tidied(t, Spec{Name: templates.Word, Module: templates.ImportPath})
	want := map[string]string{"bare.mod": bareMod, "bare.sum": bareSum}
	record := func(name string, spec Spec, withoutMod, withoutSum string) {
		mod, sum := tidied(t, spec)
		if added := addedModules(t, mod, withoutMod); added != "" {
			want[name+".mod"] = added
		}
		if added := addedLines(sum, withoutSum); added != "" {
			want[name+".sum"] = added
		}
	}
	bare := Spec{Name: templates.Word, Module: templates.ImportPath}
	for _, f := range templates.Features() {
		record(table(f.Ref), bare.with(f.Ref), bareMod, bareSum)
	}
	for _, p := range templates.Presets() {
		with, without := bare, bare
		with.Preset = p.Name
		if slices.Contains(p.Needs, templates.Database) {
			with.Database, without.Database = p.Database, p.Database
		}
		mod, sum := tidied(t, without)
		record("preset."+p.Name, with, mod, sum)
	}
	got := filesIn(t, "../templates/modules")
	for _, name := range slices.Sorted(maps.Keys(want)) {
		recorded(t, "../templates/modules/"+name, got[name], want[name])
		delete(got, name)
	}
	for name := range got {
		if !*update {
			t.Errorf("templates/modules/%s is no feature's", name)
		} else if err := os.Remove("../templates/modules/" + name); err != nil {
			t.Error(err)
		}
	}
}

// tidied returns go.mod and go.sum of a project as go mod tidy leaves them when
// it begins with the versions of our own go.mod: of all modules at first, then
// only of those whose packages are used, so that what is there for our tools
// leaves no trace.
func tidied(t *testing.T, spec Spec) (mod, sum string) {
	t.Helper()
	plan, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	root := written(t, plan)
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	used := func(string) bool { return true }
	for range 2 {
		write(t, filepath.Join(root, goMod), seedModule(t, used))
		write(t, filepath.Join(root, goSum), sums)
		run(t, root, "GOFLAGS=-mod=mod", "go", "mod", "tidy")
		list := run(t, root, "GOFLAGS=-mod=mod", "go", "list", "-deps", "-test", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...")
		used = func(path string) bool { return slices.Contains(strings.Fields(list), path) }
	}
	files := filesIn(t, root)
	return files[goMod], files[goSum]
}

// seedModule returns a go.mod of the exemplar with the versions that our own
// go.mod has of the modules that are used.
func seedModule(t *testing.T, used func(path string) bool) []byte {
	t.Helper()
	own, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse("go.mod", own, nil)
	if err != nil {
		t.Fatal(err)
	}
	seed := &modfile.File{Syntax: new(modfile.FileSyntax)}
	err = errors.Join(seed.AddModuleStmt(templates.ImportPath), seed.AddGoStmt(file.Go.Version))
	for _, r := range file.Require {
		if used(r.Mod.Path) {
			err = errors.Join(err, seed.AddRequire(r.Mod.Path, r.Mod.Version))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return modfile.Format(seed.Syntax)
}

// addedModules returns a go.mod with what with requires and without does not.
func addedModules(t *testing.T, with, without string) string {
	t.Helper()
	old, err := readPins("without", []byte(without), nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse("with", []byte(with), nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []*modfile.Require
	for _, r := range file.Require {
		if !slices.Contains(old.modules, modfile.Require{Mod: r.Mod, Indirect: r.Indirect}) {
			list = append(list, &modfile.Require{Mod: r.Mod, Indirect: r.Indirect})
		}
	}
	if len(list) == 0 {
		return ""
	}
	out, err := setRequirements(file, list)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func addedLines(with, without string) string {
	var added strings.Builder
	old := sumLines([]byte(without))
	for _, line := range sumLines([]byte(with)) {
		if !slices.Contains(old, line) {
			added.WriteString(line + "\n")
		}
	}
	return added.String()
}

// The versions of a project are those with which the exemplar is tested.
func TestVersionsAreOurs(t *testing.T) {
	own, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := readPins("go.mod", own, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	modules := slices.Clone(src.pins.modules)
	for _, p := range src.needs {
		modules = append(modules, p.modules...)
	}
	for _, p := range src.presets {
		modules = append(modules, p.pins.modules...)
	}
	if len(modules) == 0 {
		t.Error("nothing is recorded")
	}
	for _, need := range modules {
		if slices.ContainsFunc(ours.modules, func(r modfile.Require) bool { return r.Mod == need.Mod }) {
			continue
		}
		// What only tests of a library use may be named in the go.mod of a project and
		// not in ours, where another library has chosen the version already.
		if got := run(t, "..", "GOFLAGS=-mod=readonly", "go", "list", "-m", "-f", "{{.Version}}", need.Mod.Path); strings.TrimSpace(got) != need.Mod.Version {
			t.Errorf("%v is not what we have: %s", need.Mod, got)
		}
	}
}

const golden = "../testdata/golden"

// goldenSpecs are the golden projects: the one of daemongen new feed --yes, and those
// of the presets, by their names.
func goldenSpecs(t *testing.T) map[string]Spec {
	t.Helper()
	specs := map[string]Spec{"feed": {Name: "feed", Transports: []string{"tcp"}, Database: "sqlite"}}
	for _, p := range templates.Presets() {
		spec, err := Spec{Name: p.Name, Preset: p.Name}.WithPreset()
		if err != nil {
			t.Fatal(err)
		}
		specs[p.Name] = spec
	}
	return specs
}

// The golden projects are what daemongen writes, byte for byte.
func TestGolden(t *testing.T) {
	for name, spec := range goldenSpecs(t) {
		plan := goldenPlan(t, spec)
		want := contents(plan)
		got := filesIn(t, golden+"/"+name)
		if *update {
			if err := os.RemoveAll(golden + "/" + name); err != nil {
				t.Fatal(err)
			}
			plan.Root = golden + "/" + name
			if err := plan.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			continue
		}
		sameFiles(t, "go test ./generator -update writes it; testdata/golden/"+name, got, want)
	}
}

// The golden projects are tidy. The one without a preset passes what it has done on each
// change: its own tests. So do the others, but for the packages that the exemplar has,
// too, and that no answer or file of a preset changes: its own tests are these.
func TestGoldenPasses(t *testing.T) {
	specs := goldenSpecs(t)
	common := testedPackages(filesOf(t, os.DirFS("../templates/exampled")))
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			plan := goldenPlan(t, spec)
			root := written(t, plan)
			const flags = "GOFLAGS=-mod=readonly -trimpath"
			run(t, root, flags, "go", "mod", "tidy", "-diff")
			if commands := onEachChange(t, contents(plan)[workflow]); spec.Preset == "" {
				run(t, root, flags, "bash", "-ec", strings.Join(commands, "\n"))
				return
			}
			own := testedPackages(contents(plan))
			for folder := range common {
				delete(own, folder)
			}
			for _, folder := range []string{"./.", "./cmd/" + name, "./internal/wire/wiretest"} {
				own[folder] = true
			}
			if db := plan.Spec.Database; db != "" {
				own["./internal/database/"+db] = true // by which its tables are made
			}
			run(t, root, flags, "go", "vet", "./...")
			run(t, root, flags, append([]string{"go", "test"}, slices.Sorted(maps.Keys(own))...)...)
		})
	}
}

// testedPackages returns the folders of a project that have tests, as go test wants them.
func testedPackages(files map[string]string) map[string]bool {
	folders := make(map[string]bool)
	for name := range files {
		if strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "testdata/") {
			folders["./"+path.Dir(name)] = true
		}
	}
	return folders
}

const workflow = ".github/workflows/test.yml"

// onEachChange returns the commands of a workflow, as they are here, where who runs the
// tests is root or is not, and has the packages.
func onEachChange(t *testing.T, text string) (commands []string) {
	t.Helper()
	var w struct {
		Jobs map[string]struct {
			Env   map[string]string
			Steps []struct {
				Uses, Name, Run string
				With            map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	job := w.Jobs["test"]
	if job.Env["CI"] != "true" {
		t.Errorf("the workflow accepts tests that are left out: %v", job.Env)
	}
	for _, step := range job.Steps {
		command := strings.TrimPrefix(step.Run, `sudo env "PATH=$PATH" CI=true `)
		if command != "" && !strings.Contains(command, "sudo apt-get") {
			commands = append(commands, command)
		}
	}
	if want := []string{"make test"}; !slices.Equal(commands, want) {
		t.Errorf("the workflow does %q, want %q", commands, want)
	}
	return commands
}

// goldenPlan plans a project with the templates on the disk, so that what was
// recorded a moment ago is in it.
func goldenPlan(t *testing.T, spec Spec) *Plan {
	t.Helper()
	names, err := os.ReadFile("../templates/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	src := readHouse(t, templates.House{
		Exemplar: os.DirFS("../templates/exampled"),
		Text:     os.DirFS("../templates/text"),
		Modules:  os.DirFS("../templates/modules"),
		Names:    names,
		Features: templates.Features(),
		Presets:  templates.Presets(),
	})
	plan := mustPlan(t, src, spec)
	if err := plan.Verify(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// The tree in the README of a project shows what is there.
func TestProjectTree(t *testing.T) {
	spec := Spec{Name: "my-feed", Module: "example.com/x"}
	files := contents(mustPlan(t, readHouse(t, templates.Shipped()), spec))
	_, tree, ok := strings.Cut(files["README.md"], "```\nmy-feed/\n")
	if !ok {
		t.Fatal("the README of a project has no tree")
	}
	tree, _, _ = strings.Cut(tree, "```")
	for line := range strings.Lines(tree) {
		entry := strings.Fields(line)[0]
		found := slices.ContainsFunc(slices.Collect(maps.Keys(files)), func(name string) bool {
			return name == entry || strings.HasSuffix(entry, "/") && strings.HasPrefix(name, entry)
		})
		if !found {
			t.Errorf("the README shows %s, which is not there", entry)
		}
	}
}

// filesIn returns the files below a folder, none if there is no folder.
func filesIn(t *testing.T, root string) map[string]string {
	t.Helper()
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return diskFiles(t, root)
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs a program in a folder, and returns what it prints.
func run(t *testing.T, dir, env string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env, "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// go test ./... -update fails in a package whose tests do not know the flag.
func TestEveryPackageTakesUpdate(t *testing.T) {
	takes := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		takes[filepath.Dir(path)] = takes[filepath.Dir(path)] || strings.Contains(string(text), `flag.Bool("update"`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, takes := range takes {
		if !takes {
			t.Errorf("%s: no test file defines the flag -update; see update_test.go elsewhere", dir)
		}
	}
}
