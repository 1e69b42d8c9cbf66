package generator

// The commit of a plan: the only writes of this package.
//
// A new project is staged in a folder beside its place and renamed into it: all
// or nothing, whatever ends the program and when. What a killed run left behind
// is removed by the next one: a stage is locked for as long as its owner lives.
//
// Changes of a project are staged beside their targets and renamed one by one,
// the manifest last; on any failure what was renamed is put back. A run that is
// killed between two renames leaves a part of the changes, each file whole, and
// typing the command again completes them, for every change is idempotent.
//
// Nothing is synced to the storage, but for files that take the place of a
// person's own: after a loss of power a new project may be incomplete, and is
// made again; what was there before a change, or after it, is there.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Apply writes the plan to its root, or nothing. A [*RefusedError] says that
// there is something in the way; when ctx ends before the plan is written the
// error is the cause of it.
func (p *Plan) Apply(ctx context.Context) error { return p.apply(ctx, disk{}) }

func (p *Plan) apply(ctx context.Context, d disk) error {
	switch {
	case p.Root == "":
		return errors.New("the plan has no root")
	case p.fresh:
		return p.writeProject(ctx, d)
	}
	return p.writeChanges(ctx, d)
}

// Check reports what Apply would refuse, as things are now, and writes nothing.
func (p *Plan) Check() error {
	if p.fresh {
		return CheckPlace(p.Root)
	}
	for _, file := range p.Files {
		if err := file.unchanged(targetOf(p.Root, file.Path)); err != nil {
			return err
		}
	}
	return nil
}

// CheckPlace reports, as a [*RefusedError], why no new project can go into the
// folder root.
func CheckPlace(root string) error {
	_, err := placeFor(root)
	return err
}

// unchanged reports, as an error, that a file is not as it was when the plan
// was made.
func (f File) unchanged(target string) error {
	there, err := os.ReadFile(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if (there == nil) != (f.Before == nil) || !bytes.Equal(there, f.Before) {
		return &RefusedError{
			Paths:  []string{f.Path},
			Reason: f.Path + " was changed in this moment by somebody else",
			Hint:   "type the command again",
		}
	}
	return nil
}

// disk makes the changes of the file system. Before each of them it calls step,
// by which tests interrupt it; nil in earnest.
type disk struct {
	step func(operation, name string) error
}

func (d disk) before(operation, name string) error {
	if d.step == nil {
		return nil
	}
	return d.step(operation, name)
}

func (d disk) mkdir(name string) error {
	if err := d.before("mkdir", name); err != nil {
		return err
	}
	return os.Mkdir(name, 0o755)
}

// write makes a file that does not exist yet.
func (d disk) write(name string, data []byte, mode fs.FileMode, sync bool) error {
	if err := d.before("open", name); err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = d.before("write", name)
	if err == nil {
		_, err = file.Write(data)
	}
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// rename is the system call, which os.Rename does not make onto a folder.
func (d disk) rename(from, to string) error {
	if err := d.before("rename", to); err != nil {
		return err
	}
	if err := syscall.Rename(from, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// writeProject writes a whole project into a folder that is not there, or is empty.
func (p *Plan) writeProject(ctx context.Context, d disk) (err error) {
	place, err := placeFor(p.Root)
	if err != nil {
		return err
	}
	sweep(filepath.Dir(place.top), isStage)
	stage, err := newStage(d, place.top)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.close()) }()
	root := filepath.Join(stage.dir, place.below)
	made := map[string]bool{stage.dir: true}
	for _, file := range p.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := filepath.Join(root, filepath.FromSlash(file.Path))
		if err := makeFolders(d, filepath.Dir(name), made); err != nil {
			return err
		}
		if err := d.write(name, file.After, file.Mode, false); err != nil {
			return err
		}
	}
	if place.mode != 0 {
		if err := os.Chmod(root, place.mode); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return p.arrive(stage, d, place)
}

// arrive puts the finished stage into its place.
func (p *Plan) arrive(stage *stage, d disk, place place) error {
	err := d.rename(stage.dir, place.top)
	switch {
	case errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.ENOTDIR):
		return inTheWay(p.Root, "is there by now")
	case err == nil:
		stage.dir = ""
	}
	return err
}

// makeFolders makes a folder and those above it, down from what is made.
func makeFolders(d disk, name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	if err := makeFolders(d, filepath.Dir(name), made); err != nil {
		return err
	}
	made[name] = true
	return d.mkdir(name)
}

// place is where a new project goes. Top is what appears by the rename: the
// folder itself, or the first one on the way to it that is missing.
type place struct {
	top   string
	below string      // from top to the folder of the project
	mode  fs.FileMode // of the empty folder that is replaced, else 0
}

func placeFor(root string) (place, error) {
	target, err := filepath.Abs(root)
	if err != nil {
		return place{}, err
	}
	info, err := os.Stat(target)
	if err == nil {
		return emptyPlace(root, target, info)
	}
	p := place{top: target, below: "."}
	for errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(p.top); err == nil {
			return place{}, inTheWay(root, "can't be made: "+p.top+" is a link to nothing")
		}
		parent := filepath.Dir(p.top)
		if info, err = os.Stat(parent); err == nil && info.IsDir() {
			return p, nil
		}
		p.below = filepath.Join(filepath.Base(p.top), p.below)
		p.top = parent
	}
	if err == nil || errors.Is(err, syscall.ENOTDIR) {
		return place{}, inTheWay(root, "can't be made: a file is in the way")
	}
	return place{}, err
}

// emptyPlace is placeFor for a folder that is there.
func emptyPlace(root, target string, info fs.FileInfo) (place, error) {
	if !info.IsDir() {
		return place{}, inTheWay(root, "is a file")
	}
	entries, err := os.ReadDir(target)
	if err != nil {
		return place{}, err
	}
	if len(entries) > 0 {
		return place{}, inTheWay(root, "is there already, and is not empty")
	}
	if here, err := os.Stat("."); err == nil && os.SameFile(here, info) {
		return place{}, inTheWay(root, "is the current folder, which can't be replaced")
	}
	target, err = filepath.EvalSymlinks(target)
	return place{top: target, below: ".", mode: info.Mode().Perm()}, err
}

func inTheWay(root, reason string) error {
	return &RefusedError{
		Paths:  []string{root},
		Reason: root + " " + reason,
		Hint:   "choose another folder with --dir",
	}
}

// stage is a folder in which a project is made. Its lock says that the owner
// lives.
type stage struct {
	dir  string // "" once it is in its place
	lock *os.File
}

const stageInfix = ".daemongen-"

// stageName returns a name beside target that nothing else has.
func stageName(target string) string {
	dir, base := filepath.Split(target)
	suffix := strconv.FormatUint(rand.Uint64()|1<<63, 36)
	return dir + "." + base + stageInfix + suffix
}

// isStage reports whether a name may be one of stageName's.
func isStage(name string) bool {
	i := strings.LastIndex(name, stageInfix)
	return i > 1 && name[0] == '.' && len(name)-i-len(stageInfix) == 13
}

func newStage(d disk, target string) (*stage, error) {
	for {
		dir := stageName(target)
		err := d.mkdir(dir)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lock, err := lockFolder(dir)
		if err == nil {
			return &stage{dir, lock}, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		// A sweep came between the two, and removes it.
	}
}

// close removes a stage that is not in its place.
func (s *stage) close() error {
	var err error
	if s.dir != "" {
		err = os.RemoveAll(s.dir)
	}
	return errors.Join(err, s.lock.Close())
}

var errLocked = errors.New("another daemongen is at work")

// lockFolder locks a folder until the file is closed, or the process ends. The
// error is errLocked if another process has it, or has removed it.
func lockFolder(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err == nil {
		mine, err1 := file.Stat()
		there, err2 := os.Lstat(dir)
		if err1 != nil || err2 != nil || !os.SameFile(mine, there) {
			err = errLocked
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// sweep removes the stages in a folder whose owners are dead. What it can't
// remove is left to somebody who can.
func sweep(dir string, isStage func(name string) bool) {
	folder, err := os.Open(dir)
	if err != nil {
		return
	}
	entries, _ := folder.ReadDir(-1)
	_ = folder.Close()
	for _, entry := range entries {
		if !entry.IsDir() || !isStage(entry.Name()) {
			continue
		}
		name := filepath.Join(dir, entry.Name())
		if lock, err := lockFolder(name); err == nil {
			_ = os.RemoveAll(name)
			_ = lock.Close()
		}
	}
}

// writeChanges makes the changes of a plan to the project that is there.
func (p *Plan) writeChanges(ctx context.Context, d disk) (err error) {
	lock, err := lockFolder(p.Root)
	if errors.Is(err, errLocked) {
		return &FailedError{Err: fmt.Errorf("%s: %w", p.Root, err), Hint: "type the command again when it is done"}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	for _, name := range p.touched {
		sweepFiles(targetOf(p.Root, name))
	}
	work := &transaction{disk: d}
	defer func() { err = errors.Join(err, work.end()) }()
	for _, file := range p.Files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := work.stage(p.Root, file); err != nil {
			return err
		}
	}
	for i := range work.replaced {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := work.commit(&work.replaced[i]); err != nil {
			return err
		}
	}
	work.complete = true
	return nil
}

// transaction is what is under way in a project. Who changes it has it locked, so
// stages that are found belong to the dead.
type transaction struct {
	disk     disk
	folders  []string // made for the changes
	replaced []replacement
	complete bool
}

// replacement is one file that takes the place of another.
type replacement struct {
	target  string
	staged  string // "" once it is in its place
	backup  string // "" if there was no file
	arrived bool
}

// stage writes a file, and a copy of the one it replaces, beside its target.
func (t *transaction) stage(root string, file File) error {
	target := targetOf(root, file.Path)
	if err := t.makeFolders(filepath.Dir(target)); err != nil {
		return err
	}
	if err := file.unchanged(target); err != nil {
		return err
	}
	t.replaced = append(t.replaced, replacement{target: target, staged: stageName(target)})
	r := &t.replaced[len(t.replaced)-1]
	if file.Before == nil {
		return t.disk.write(r.staged, file.After, file.Mode, false)
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	r.backup = stageName(target)
	return errors.Join(
		t.writeLike(info, r.staged, file.After, true),
		t.writeLike(info, r.backup, file.Before, false),
	)
}

// targetOf returns the file that a path of the project stands for: where a link
// leads.
func targetOf(root, name string) string {
	target := filepath.Join(root, filepath.FromSlash(name))
	if real, err := filepath.EvalSymlinks(target); err == nil {
		return real
	}
	return target
}

// writeLike writes a file with the mode and, as far as one may, the owner of
// another.
func (t *transaction) writeLike(info fs.FileInfo, name string, data []byte, sync bool) error {
	if err := t.disk.write(name, data, info.Mode().Perm(), sync); err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Lchown(name, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(name, info.Mode().Perm())
}

// makeFolders makes the folders that are missing on the way to one.
func (t *transaction) makeFolders(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return &RefusedError{Paths: []string{dir}, Reason: dir + " is a file", Hint: "move it out of the way, then type the command again"}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.makeFolders(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := t.disk.mkdir(dir); err != nil {
		return err
	}
	t.folders = append(t.folders, dir)
	return nil
}

func (t *transaction) commit(r *replacement) error {
	err := t.disk.rename(r.staged, r.target)
	r.arrived = err == nil
	return err
}

// end removes what was written beside the targets. If the changes are not
// complete it puts back what they replaced, in reverse order.
func (t *transaction) end() error {
	var errs []error
	for _, r := range slices.Backward(t.replaced) {
		var err error
		switch {
		case t.complete || !r.arrived:
			err = errors.Join(remove(r.backup), remove(r.staged))
		case r.backup == "":
			err = remove(r.target)
		default:
			err = t.disk.rename(r.backup, r.target)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s can't be put back: %w", r.target, err))
		}
	}
	if !t.complete {
		for _, dir := range slices.Backward(t.folders) {
			errs = append(errs, remove(dir))
		}
	}
	return errors.Join(errs...)
}

// remove removes a file, or an empty folder, that may be gone.
func remove(name string) error {
	if name == "" {
		return nil
	}
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sweepFiles removes what a killed run left beside a target.
func sweepFiles(target string) {
	dir, base := filepath.Split(target)
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		name := entry.Name()
		if entry.Type().IsRegular() && isStage(name) && strings.HasPrefix(name, "."+base+stageInfix) {
			_ = os.Remove(filepath.Join(dir, name))
		}
	}
}
