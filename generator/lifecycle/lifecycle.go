// Package lifecycle finds out whether the daemon of a project keeps its
// promises: it builds the project, runs its tests, and drives the compiled
// daemon from outside, as its administrator would, through everything that a
// daemon has to get right. It prints nothing.
//
//	rows, err := lifecycle.Verify(ctx, lifecycle.Options{Root: "feed"})
//
// Each promise is a row of the table in checks.go: a name, the state that the
// daemon must be in, and a function that asks, by the words of a driver
// (driver.go). A check that fails does not end the others: the driver makes the
// state that the next one needs.
//
// Everything happens in a private folder with a copy of the project's
// configuration, on free ports of the loopback. What was started is ended, also
// if the context ends in the middle; no other process is ever signalled.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Result is what became of a promise.
type Result string

const (
	Held    Result = "ok"
	Failed  Result = "FAILED"
	Skipped Result = "skipped"
)

// Row is a promise, and what became of it.
type Row struct {
	Group, Name string
	Result      Result
	Cause       string // of a failure, or of a skip; may have several lines
	Time        time.Duration
}

// Options are what to verify, and whom to tell.
type Options struct {
	Root      string            // folder of the project
	SkipTests bool              // don't run the project's own tests
	Done      func(Row)         // called with each row, in order; nil: nobody
	Ran       func(line string) // called with each command that was run, and its exit code, one at a time; nil: nobody
}

// EnvironmentError says what this machine lacks for a project to be verified.
type EnvironmentError struct {
	Err  error
	Hint string
}

func (e *EnvironmentError) Error() string { return e.Err.Error() }
func (e *EnvironmentError) Unwrap() error { return e.Err }

// Verify verifies the project and returns all rows, whatever is in them. The
// error is an *EnvironmentError, the cause of ctx's end, or of reading the
// project; the rows are those that were done until then. When it returns,
// nothing that it started runs any more, and its folder is gone.
func Verify(ctx context.Context, opts Options) (rows []Row, err error) {
	p, err := readProject(opts.Root)
	if err != nil {
		return nil, err
	}
	dir, err := makeFolder()
	if err != nil {
		return nil, &EnvironmentError{fmt.Errorf("a folder to work in: %w", err), "TMPDIR names another place for it"}
	}
	defer func() {
		endBelow(dir)
		if gone := os.RemoveAll(dir); gone != nil {
			err = errors.Join(err, gone)
		}
	}()
	v := &verifier{ctx: ctx, opts: opts, project: p, dir: dir}
	err = v.all()
	return v.rows, err
}

// makeFolder makes the private folder, with one for the program and one for what
// others keep for a while, such as the project's tests. Whom root's daemon
// becomes has to pass through all of it.
func makeFolder() (string, error) {
	place := os.TempDir()
	if os.Geteuid() == 0 && !forAll(place) {
		place = "/tmp" // not root's own TMPDIR
	}
	dir, err := os.MkdirTemp(place, "daemongen-")
	if err != nil {
		return "", err
	}
	err = errors.Join(
		os.Chmod(dir, 0o755),
		makeDir(filepath.Join(dir, "bin"), 0o755),
		makeDir(filepath.Join(dir, "tmp"), 0o777|fs.ModeSticky))
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	// The names that the system knows of processes are without links.
	return filepath.EvalSymlinks(dir)
}

// makeDir makes a folder with this mode, whatever the umask.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// forAll tells whether everybody may pass through a folder.
func forAll(dir string) bool {
	dir, err := filepath.Abs(dir)
	for ; err == nil; dir = filepath.Dir(dir) {
		info, statErr := os.Stat(dir)
		if statErr != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
	return false
}

// verifier is one verification under way.
type verifier struct {
	ctx     context.Context
	opts    Options
	project *project
	dir     string
	rows    []Row

	telling sync.Mutex // some checks make calls at the same time
}

// all does the steps, then the checks. Without a program nothing can be driven.
func (v *verifier) all() error {
	if err := needGo(); err != nil {
		return err
	}
	var unbuilt string
	for _, s := range steps() {
		v.row(buildGroup, s.name, func() (Result, string) { return s.run(v) })
		if v.ctx.Err() != nil {
			return context.Cause(v.ctx)
		}
		if last := v.rows[len(v.rows)-1]; s.essential && last.Result != Held {
			unbuilt = "the project does not build"
		}
	}
	d, err := newDriver(v.project, v.dir, v.ran)
	if err != nil {
		return err
	}
	defer d.end()
	for _, c := range checks() {
		v.row(c.group, c.name, func() (Result, string) {
			if unbuilt != "" {
				return Skipped, unbuilt
			}
			return d.try(v.ctx, c)
		})
		if v.ctx.Err() != nil {
			return context.Cause(v.ctx)
		}
	}
	return nil
}

// row does what a row is about, unless the context ends meanwhile.
func (v *verifier) row(group, name string, do func() (Result, string)) {
	begin := time.Now()
	result, cause := do()
	if v.ctx.Err() != nil {
		return
	}
	row := Row{group, name, result, cause, time.Since(begin)}
	v.rows = append(v.rows, row)
	if v.opts.Done != nil {
		v.opts.Done(row)
	}
}

// ran tells of a command.
func (v *verifier) ran(line string) {
	v.telling.Lock()
	defer v.telling.Unlock()
	if v.opts.Ran != nil {
		v.opts.Ran(line)
	}
}

// Promise is what a row will be about.
type Promise struct{ Group, Name string }

// Promises are all rows to come, in order.
func Promises() []Promise {
	var all []Promise
	for _, s := range steps() {
		all = append(all, Promise{buildGroup, s.name})
	}
	for _, c := range checks() {
		all = append(all, Promise{c.group, c.name})
	}
	return all
}
