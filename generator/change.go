package generator

// An addition is what a feature brings to a project: a list of changes, each a
// function from old bytes to new bytes that does nothing the second time.

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/daemongen/daemongen/templates"
)

// The kinds of change, as a File names them.
const (
	changeCreate   = "create"
	changeSplice   = "splice"
	changeRequire  = "require"
	changeSection  = "section"
	changeManifest = "manifest"
)

// change is one change of one file.
type change struct {
	path  string
	kind  string
	note  string // what it puts in, for a person
	apply func(old []byte) ([]byte, error)
	want  *File // of a change that creates: the file
}

// errDiffers says that a file is there already and is another one.
var errDiffers = errors.New("is there already, and differs")

// create returns the change that writes a file of the feature's own.
func create(want File) change {
	return change{path: want.Path, kind: changeCreate, want: &want, apply: func(old []byte) ([]byte, error) {
		if old != nil && !bytes.Equal(old, want.After) {
			return nil, errDiffers
		}
		return want.After, nil
	}}
}

// keep is create for a file of a feature that was plugged in before, this one or
// one that shares the folder: what is there is the user's.
func keep(want File) change {
	c := create(want)
	c.apply = func(old []byte) ([]byte, error) {
		if old != nil {
			return old, nil
		}
		return want.After, nil
	}
	return c
}

// addition returns the changes that plug a feature in, given its own files. Those
// whose paths are in theirs belong to a feature that the project has.
func (src *source) addition(f templates.Feature, w words, own []File, theirs map[string]bool) []change {
	var changes []change
	for _, file := range own {
		if theirs[file.Path] {
			changes = append(changes, keep(file))
		} else {
			changes = append(changes, create(file))
		}
	}
	return append(changes, src.sharedChanges(f, w)...)
}

// sharedChanges returns those changes that plug a feature into files that others
// have a part in.
func (src *source) sharedChanges(f templates.Feature, w words) []change {
	var changes []change
	if variable := f.Kind.Variable(); variable != "" {
		e := src.entry(f, w.Module)
		e.file = w.pathOf(templates.Wire)
		fragment, _ := w.replace(templates.Config, src.pieces[f.Ref])
		changes = append(changes,
			change{path: e.file, kind: changeSplice, note: fmt.Sprintf("entry %q of %s", f.Name, variable),
				apply: func(old []byte) ([]byte, error) {
					added, err := addEntry(old, e)
					if errors.Is(err, errNoLiteral) {
						return nil, e.refusal()
					}
					return added, err
				}},
			change{path: w.pathOf(templates.Config), kind: changeSection, note: fmt.Sprintf("section [%s]", table(f.Ref)),
				apply: func(old []byte) ([]byte, error) { return addSection(old, table(f.Ref), fragment) }},
		)
	}
	needs := src.needs[f.Ref]
	if len(needs.modules) > 0 {
		changes = append(changes, change{path: goMod, kind: changeRequire, note: "module " + directModules(needs),
			apply: func(old []byte) ([]byte, error) { return addModules(old, needs.modules) }})
	}
	if len(needs.sums) > 0 {
		changes = append(changes, change{path: goSum, kind: changeRequire, note: "checksums of " + directModules(needs),
			apply: func(old []byte) ([]byte, error) { return addSums(old, needs.sums) }})
	}
	return changes
}

const (
	goMod = "go.mod"
	goSum = "go.sum"
)

// directModules names the modules of a feature that its code imports.
func directModules(p pins) string {
	var names []string
	for _, r := range p.modules {
		if !r.Indirect {
			names = append(names, r.Mod.Path+" "+r.Mod.Version)
		}
	}
	return strings.Join(names, ", ")
}

// changeError says which file a change could not be made to.
type changeError struct {
	path string
	err  error
}

func (e *changeError) Error() string { return located(e.path, e.err.Error()) }
func (e *changeError) Unwrap() error { return e.err }

// located returns what is wrong with a file with its path before it, as
// file:line:column if it begins with a position.
func located(name, problem string) string {
	switch {
	case strings.HasPrefix(problem, name+":"):
		return problem
	case problem != "" && '0' <= problem[0] && problem[0] <= '9':
		return name + ":" + problem
	}
	return name + ": " + problem
}

// fold applies changes, in order, to what read returns (nil: no such file), and
// returns all the files that they are about, sorted by path. An error is a
// *RefusedError, a *changeError or read's.
func fold(changes []change, read func(string) ([]byte, error)) ([]File, error) {
	files := make(map[string]*File)
	var differing []File
	for _, c := range changes {
		file := files[c.path]
		if file == nil {
			old, err := read(c.path)
			if err != nil {
				return nil, err
			}
			file = &File{Path: c.path, Before: old, After: old, Mode: modeOf(c.path), Change: c.kind}
			files[c.path] = file
		}
		after, err := c.apply(file.After)
		switch {
		case errors.Is(err, errDiffers):
			differing = append(differing, File{Path: c.path, Before: file.After, After: c.want.After})
			continue
		case err != nil:
			return nil, &changeError{c.path, err}
		}
		if c.note != "" && !bytes.Equal(after, file.After) {
			file.Notes = append(file.Notes, c.note)
		}
		file.After = after
		if c.want != nil {
			file.sound = c.want.sound
		}
	}
	if len(differing) > 0 {
		return nil, overwrites(differing)
	}
	var folded []File
	for _, file := range files {
		folded = append(folded, *file)
	}
	slices.SortFunc(folded, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return folded, nil
}

// differs reports whether there is something to write.
func (f File) differs() bool { return f.Before == nil || !bytes.Equal(f.Before, f.After) }

// overwrites refuses to write over files that differ.
func overwrites(files []File) error {
	refused := &RefusedError{
		Hint: "move what is there out of the way, then type the command again",
		Diff: (&Plan{Files: files}).Diff(),
	}
	var lines []string
	for _, file := range files {
		refused.Paths = append(refused.Paths, file.Path)
		lines = append(lines, fmt.Sprintf("%s %v", path.Clean(file.Path), errDiffers))
	}
	refused.Reason = strings.Join(lines, "\n")
	return refused
}
