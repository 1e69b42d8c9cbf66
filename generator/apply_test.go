package generator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates"
)

var errInjected = errors.New("injected")

// faults are the ways to interrupt a commit.
var faults = map[string]func(cancel context.CancelCauseFunc) error{
	"error":  func(context.CancelCauseFunc) error { return errInjected },
	"cancel": func(cancel context.CancelCauseFunc) error { cancel(errInjected); return nil },
	"panic":  func(context.CancelCauseFunc) error { panic(errInjected) },
}

// interrupted applies a plan and interrupts it at the n-th step. It reports
// whether there were so many steps.
func interrupted(t *testing.T, plan *Plan, n int, fault func(context.CancelCauseFunc) error) (reached bool, err error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	d := disk{step: func(string, string) error {
		if n--; n != 0 {
			return nil
		}
		reached = true
		return fault(cancel)
	}}
	defer func() {
		if r := recover(); r != nil {
			err = r.(error)
		}
	}()
	err = plan.apply(ctx, d)
	return reached, err
}

// A new project interrupted at any step leaves nothing, or all.
func TestNewInterrupted(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				parent := t.TempDir()
				plan.Root = filepath.Join(parent, "a", "feed")
				reached, err := interrupted(t, plan, n, fault)
				got := diskFiles(t, parent)
				if err == nil {
					if !reached || name == "cancel" { // after the last look at the context
						sameFiles(t, "all", diskFiles(t, plan.Root), contents(plan))
					}
					if !reached {
						return
					}
					continue
				}
				if !errors.Is(err, errInjected) {
					t.Errorf("step %d: %v", n, err)
				}
				sameFiles(t, fmt.Sprintf("step %d", n), got, map[string]string{"./": "empty folder"})
			}
		})
	}
}

// An addition interrupted at any step leaves the project as it was.
func TestAddInterrupted(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			root := written(t, mustPlan(t, src, Spec{Name: "feed", Transports: []string{"pipe"}}))
			before := diskFiles(t, root)
			for n := 1; ; n++ {
				plan, err := src.add(root, addedRefs)
				if err != nil {
					t.Fatal(err)
				}
				reached, err := interrupted(t, plan, n, fault)
				if err == nil {
					sameFiles(t, "all", diskFiles(t, root), contents(mustPlan(t, src, plan.Spec)))
					if reached && name != "cancel" {
						t.Errorf("step %d: no error", n)
					}
					return
				}
				if !errors.Is(err, errInjected) {
					t.Errorf("step %d: %v", n, err)
				}
				sameFiles(t, fmt.Sprintf("step %d", n), diskFiles(t, root), before)
			}
		})
	}
}

var (
	fullSpec  = Spec{Name: "feed", Transports: []string{"carrier", "pipe", "tcp"}, Database: "lake", Deploy: []string{"crate"}}.Normalize()
	addedRefs = []Ref{{Kind: templates.Transport, Name: "carrier"}, {Kind: templates.Database, Name: "lake"}, {Kind: templates.Deploy, Name: "crate"}}
)

// The environment of a child that commits a plan, so that it can be killed.
const (
	childRoot = "DAEMONGEN_TEST_ROOT" // of the project
	childAct  = "DAEMONGEN_TEST_ACT"  // new, add
	childDies = "DAEMONGEN_TEST_DIES" // at this step; 0: when it is told
)

// smallFiles has a child write no file of more than 512 bytes.
const smallFiles = "DAEMONGEN_TEST_SMALL=1"

func TestMain(m *testing.M) {
	if os.Getenv(childRoot) == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// child commits a plan, with what its environment says.
func child() error {
	var t testing.T
	src := readHouse(&t, smallHouse(&t))
	root := os.Getenv(childRoot)
	plan, err := src.plan(fullSpec)
	if os.Getenv(childAct) == "add" {
		plan, err = src.add(root, addedRefs)
	}
	if err != nil {
		return err
	}
	plan.Root = root
	dies, _ := strconv.Atoi(os.Getenv(childDies))
	return plan.apply(context.Background(), disk{step: func(string, string) error {
		if dies--; dies == 0 {
			return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("still alive"))
		}
		return nil
	}})
}

// spawn starts a child that commits a plan.
func spawn(t *testing.T, root, act string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	if slices.Contains(env, smallFiles) {
		cmd = exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 1 && exec "$0"`, program)
	}
	cmd.Env = append(os.Environ(), childRoot+"="+root, childAct+"="+act)
	cmd.Env = append(cmd.Env, env...)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// killed reports whether a child was killed, rather than done.
func killed(t *testing.T, cmd *exec.Cmd, out *bytes.Buffer) bool {
	t.Helper()
	err := cmd.Wait()
	if err == nil {
		return false
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("%v: %s", err, out)
	}
	return true
}

// A new project killed at any step leaves no part of it in its place; the next
// run removes what was left beside it.
func TestNewKilled(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	parent := t.TempDir()
	for n := 1; ; n++ {
		root := filepath.Join(parent, "feed")
		cmd, out := spawn(t, root, "new", fmt.Sprintf("%s=%d", childDies, n))
		if !killed(t, cmd, out) {
			sameFiles(t, "all, and nothing beside it", diskFiles(t, parent), prefixed("feed", contents(plan)))
			return
		}
		if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("step %d: there is something: %v", n, err)
		}
		if left := stages(t, parent); n > 1 && len(left) != 1 {
			t.Fatalf("step %d left %v, want one stage", n, left)
		}
	}
}

// The same with a kill that comes from outside at any time.
func TestNewKilledAtRandom(t *testing.T) {
	r := random(t)
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	parent := t.TempDir()
	kills, whole := 0, 0
	for i := range 40 {
		root := filepath.Join(parent, fmt.Sprint("feed", i))
		cmd, out := spawn(t, root, "new")
		time.Sleep(time.Duration(r.IntN(25)) * time.Millisecond)
		_ = cmd.Process.Kill()
		if killed(t, cmd, out) {
			kills++
		}
		if _, err := os.Stat(root); err == nil {
			whole++
			sameFiles(t, "all", diskFiles(t, root), contents(plan))
		}
	}
	t.Logf("%d killed, %d whole", kills, whole)
	plan.Root = filepath.Join(parent, "last")
	if err := plan.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := stages(t, parent); len(left) > 0 {
		t.Errorf("left beside it: %v", left)
	}
}

// An addition killed at any step leaves each file whole, old or new; typing it
// again completes it, and removes what was left.
func TestAddKilled(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	spec := Spec{Name: "feed", Transports: []string{"pipe"}}.Normalize()
	want := spec
	for _, ref := range addedRefs {
		want = want.with(ref)
	}
	before, after := contents(mustPlan(t, src, spec)), contents(mustPlan(t, src, want))
	for n := 1; ; n++ {
		root := written(t, mustPlan(t, src, spec))
		cmd, out := spawn(t, root, "add", fmt.Sprintf("%s=%d", childDies, n))
		if !killed(t, cmd, out) {
			sameFiles(t, "all", diskFiles(t, root), after)
			return
		}
		for name, data := range diskFiles(t, root) {
			old, wasThere := before[name]
			if !isStage(filepath.Base(name)) && data != after[name] && (!wasThere || data != old) && data != "empty folder" {
				t.Errorf("step %d: %s is neither old nor new", n, name)
			}
		}
		mustAdd(t, src, root, addedRefs...)
		sameFiles(t, fmt.Sprintf("completed after step %d", n), diskFiles(t, root), after)
	}
}

func prefixed(dir string, files map[string]string) map[string]string {
	all := make(map[string]string)
	for name, data := range files {
		all[dir+"/"+name] = data
	}
	return all
}

func stages(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, entry := range entries {
		if isStage(entry.Name()) {
			found = append(found, entry.Name())
		}
	}
	return found
}

// A file that can't be written to its end leaves nothing of a new project, and
// the old one of an addition.
func TestFileLimit(t *testing.T) {
	t.Run("new", func(t *testing.T) {
		parent := t.TempDir()
		cmd, out := spawn(t, filepath.Join(parent, "feed"), "new", smallFiles)
		if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), syscall.EFBIG.Error()) {
			t.Errorf("%v: %s", err, out)
		}
		sameFiles(t, "limited", diskFiles(t, parent), map[string]string{"./": "empty folder"})
	})
	t.Run("addition", func(t *testing.T) {
		root := written(t, mustPlan(t, readHouse(t, smallHouse(t)), Spec{Name: "feed"}))
		before := diskFiles(t, root)
		cmd, out := spawn(t, root, "add", smallFiles)
		if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), syscall.EFBIG.Error()) {
			t.Errorf("%v: %s", err, out)
		}
		sameFiles(t, "limited", diskFiles(t, root), before)
	})
}

// What is in the way is refused, and stays as it is.
func TestNewRefused(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	t.Chdir(t.TempDir())
	for _, dir := range []string{"full/inside", "empty", "here"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, "file", []byte("mine"))
	for link, target := range map[string]string{"nowhere": "gone", "tofull": "full"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	before := diskFiles(t, ".")
	for root, want := range map[string]string{
		"full":       "is not empty",
		"tofull":     "is not empty",
		"file":       "is a file",
		"file/a/b":   "a file is in the way",
		"nowhere":    "is a link to nothing",
		"nowhere/in": "is a link to nothing",
		".":          "is not empty",
	} {
		plan.Root = root
		err := plan.Apply(t.Context())
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) || refused.Hint == "" {
			t.Errorf("%s: %v, want %q", root, err, want)
		}
		if check := plan.Check(); check == nil || check.Error() != err.Error() {
			t.Errorf("%s: the check says %v, not %v", root, check, err)
		}
		sameFiles(t, root, diskFiles(t, "."), before)
	}
	t.Chdir("here")
	plan.Root = "../here"
	if err := plan.Apply(t.Context()); err == nil || !strings.Contains(err.Error(), "is the current folder") {
		t.Errorf("the current folder: %v", err)
	}
}

// An empty folder is filled, by whatever way it is named, and keeps its mode.
func TestNewIntoEmpty(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	parent := t.TempDir()
	empty, link := filepath.Join(parent, "empty"), filepath.Join(parent, "link")
	if err := errors.Join(os.Mkdir(empty, 0o700), os.Symlink("empty", link)); err != nil {
		t.Fatal(err)
	}
	plan.Root = link
	if err := plan.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, "filled", diskFiles(t, empty), contents(plan))
	info, err := os.Lstat(empty)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	script, err := os.Stat(filepath.Join(empty, "deploy/crate/feed-watchdog.sh"))
	if err != nil || script.Mode() != 0o755 {
		t.Errorf("a script has mode %v, %v", script.Mode(), err)
	}
}

// Whoever makes the folder first has it.
func TestNewRace(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	plan.Root = filepath.Join(t.TempDir(), "feed")
	err := plan.apply(t.Context(), disk{step: func(operation, name string) error {
		if operation == "rename" {
			return os.MkdirAll(filepath.Join(name, "mine"), 0o755)
		}
		return nil
	}})
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	sameFiles(t, "the other one's", diskFiles(t, filepath.Dir(plan.Root)), map[string]string{"feed/mine/": "empty folder"})
}

// The stage of a run that lives is left alone.
func TestSweepSparesTheLiving(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	parent := t.TempDir()
	plan.Root = filepath.Join(parent, "one")
	looked := false
	err := plan.apply(t.Context(), disk{step: func(operation, name string) error {
		if !looked && operation == "write" {
			looked = true
			other := *plan
			other.Root = filepath.Join(parent, "two")
			return other.Apply(t.Context())
		}
		return nil
	}})
	if err != nil || !looked {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		sameFiles(t, name, diskFiles(t, filepath.Join(parent, name)), contents(plan))
	}
}

// Nothing is written over what changed after the plan was made.
func TestAddAfterChange(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	for _, name := range []string{"internal/wire/wire.go", "configs/feed.toml", "deploy/crate/feed.service", ManifestName} {
		root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
		plan, err := src.add(root, addedRefs)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, []byte("changed"))
		before := diskFiles(t, root)
		var refused *RefusedError
		if err := plan.Check(); !errors.As(err, &refused) || !slices.Contains(refused.Paths, name) {
			t.Errorf("%s: the check says %v", name, err)
		}
		if err := plan.Apply(t.Context()); !errors.As(err, &refused) || !slices.Contains(refused.Paths, name) {
			t.Errorf("%s: %v", name, err)
		}
		sameFiles(t, name, diskFiles(t, root), before)
	}
}

// A file keeps its mode, and a link its place.
func TestAddKeepsModeAndLink(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
	config, elsewhere := filepath.Join(root, "configs/feed.toml"), filepath.Join(t.TempDir(), "real.toml")
	wire := filepath.Join(root, "internal/wire/wire.go")
	if err := errors.Join(os.Rename(config, elsewhere), os.Symlink(elsewhere, config), os.Chmod(wire, 0o600)); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, src, root, addedRefs...)
	if target, err := os.Readlink(config); err != nil || target != elsewhere {
		t.Errorf("the link: %q, %v", target, err)
	}
	if data, err := os.ReadFile(elsewhere); err != nil || !bytes.Contains(data, []byte("[transport.carrier]")) {
		t.Errorf("%v\n%s", err, data)
	}
	if info, err := os.Stat(wire); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// Two at a time: the second one waits for nobody, and breaks nothing.
func TestAddTwiceAtOnce(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	root := written(t, mustPlan(t, src, Spec{Name: "feed"}))
	first, err1 := src.add(root, addedRefs[:1])
	second, err2 := src.add(root, addedRefs[1:])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	err := first.apply(t.Context(), disk{step: func(string, string) error {
		var failed *FailedError
		if err := second.Apply(t.Context()); !errors.As(err, &failed) || !errors.Is(err, errLocked) {
			t.Errorf("while the first one is at work: %v", err)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := second.Apply(t.Context()); !errors.As(err, &refused) {
		t.Errorf("with a plan from before: %v", err)
	}
	mustAdd(t, src, root, addedRefs[1:]...)
}

func TestApplyNeedsRoot(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), fullSpec)
	if err := plan.Apply(t.Context()); err == nil {
		t.Error("a plan without a root was applied")
	}
}

// Names of stages are recognized, and no others.
func TestStageName(t *testing.T) {
	for range 100 {
		name := stageName("/a/" + strings.Repeat("x", 1+rand.IntN(9)))
		if dir, base := filepath.Split(name); dir != "/a/" || !isStage(base) {
			t.Errorf("%s is no stage", name)
		}
	}
	for _, name := range []string{".daemongen.json", "feed", ".daemongen-0123456789012", "x.daemongen-0123456789012", ".x.daemongen-012", ".x.daemongen-01234567890123"} {
		if isStage(name) {
			t.Errorf("%s is taken for a stage", name)
		}
	}
}
