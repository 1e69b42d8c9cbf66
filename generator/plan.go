package generator

// From a spec to a plan: the bare project, and one addition after the other.

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/daemongen/daemongen/templates"
)

// Plan is what would be written: paths and bytes, data only.
type Plan struct {
	Root  string // the project's folder; "" in a plan of [New] until the caller sets it
	Spec  Spec   // what the project will be
	Files []File // what changes, sorted by path, the manifest last

	fresh   bool     // the whole project, into a folder that is not there yet
	touched []string // paths of the files that a change is about, changed or not
}

// File is one file of a plan.
type File struct {
	Path   string // relative to the root, with slashes
	Before []byte // nil: the file does not exist yet
	After  []byte
	Mode   fs.FileMode // permissions of a file that does not exist yet
	Change string      // create, splice, require, section or manifest
	Notes  []string    // what was put in, for a person: entry "tcp" of Transports

	sound [sha256.Size]byte // hash of contents that were found sound when rendered
}

// New plans a whole project. The spec is normalized first; an unusable one is
// an [*InvalidError]. The caller sets Root.
func New(spec Spec) (*Plan, error) {
	src, err := shipped()
	if err != nil {
		return nil, err
	}
	return src.plan(spec.Normalize())
}

// plan plans a whole project: the bare one, with the additions folded in.
func (src *source) plan(spec Spec) (*Plan, error) {
	if err := src.validate(spec); err != nil {
		return nil, err
	}
	w := wordsOf(spec.Name, spec.Module)
	files, err := src.render(spec, w)
	if err != nil {
		return nil, err
	}
	shared, err := src.shared(spec, w)
	if err != nil {
		return nil, err
	}
	files = append(files, shared...)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	m := manifest{Spec: spec, Daemongen: Version, Files: make(map[string]string, len(files))}
	for _, file := range files {
		m.Files[file.Path] = file.pristine()
	}
	return &Plan{Spec: spec, Files: append(files, m.file(nil)), fresh: true}, nil
}

// render returns the files that no two features have a part in.
func (src *source) render(spec Spec, w words) ([]File, error) {
	files, err := render(slices.Concat(src.bareOf(spec.Preset), src.of(spec.refs(), spec.Preset)), w)
	if err != nil {
		return nil, err
	}
	service := src.service
	if preset := src.presets[spec.Preset]; preset != nil {
		service = preset.prose
	}
	prose, err := renderProse(src.prose, service, w)
	return append(files, prose...), err
}

// shared returns the files that features have a part in, as they are in a
// project that nobody touched.
func (src *source) shared(spec Spec, w words) ([]File, error) {
	bare, err := src.bareShared(spec.Preset, w)
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, ref := range spec.refs() {
		f, _ := src.feature(ref) // validated before
		changes = append(changes, src.sharedChanges(f, w)...)
	}
	folded, err := fold(changes, func(name string) ([]byte, error) { return bare[name], nil })
	if err != nil {
		return nil, bug(err)
	}
	notes := make(map[string][]string)
	for _, file := range folded {
		bare[file.Path], notes[file.Path] = file.After, file.Notes
	}
	config := w.pathOf(templates.Config)
	var problems []Problem
	if bare[config], problems = applySettings(bare[config], spec); problems != nil {
		return nil, &InvalidError{problems}
	}
	var files []File
	for name, data := range bare {
		files = append(files, File{Path: name, After: data, Mode: modeOf(name), Change: changeCreate, Notes: notes[name]})
	}
	return files, nil
}

// bareShared returns the shared files of a project without features, of a preset if
// it is of any.
func (src *source) bareShared(preset string, w words) (map[string][]byte, error) {
	wire, err := renderFile(src.wire, w)
	if err != nil {
		return nil, err
	}
	mod, err := src.goMod(w)
	if err != nil {
		return nil, bug(err)
	}
	sum := src.sum
	if p := src.presets[preset]; p != nil {
		mod, err = addModules(mod, p.pins.modules)
		if err == nil {
			sum, err = addSums(sum, p.pins.sums)
		}
		if err != nil {
			return nil, bug(err)
		}
	}
	config, _ := w.replace(templates.Config, src.bareConfig(preset))
	return map[string][]byte{
		wire.Path:                  wire.After,
		w.pathOf(templates.Config): config,
		goMod:                      mod,
		goSum:                      sum,
	}, nil
}

// bareConfig returns the configuration of a project without features, in the words of
// the exemplar: the sections of its preset are below all others.
func (src *source) bareConfig(preset string) []byte {
	if p := src.presets[preset]; p != nil && len(p.sections) > 0 {
		return slices.Concat(src.conf.src, []byte("\n"), p.sections)
	}
	return src.conf.src
}

// config returns the configuration of a project before its settings.
func (src *source) config(spec Spec) ([]byte, error) {
	w := wordsOf(spec.Name, spec.Module)
	config, _ := w.replace(templates.Config, src.bareConfig(spec.Preset))
	for _, ref := range spec.refs() {
		if src.pieces[ref] == nil {
			continue
		}
		var err error
		fragment, _ := w.replace(templates.Config, src.pieces[ref])
		if config, err = addSection(config, table(ref), fragment); err != nil {
			return nil, bug(err)
		}
	}
	return config, nil
}

// Add plans to plug features into the project in the folder root. The changes
// of files that are there are computed from their bytes on the disk. What does
// not exist is an [*InvalidError]; what a person changed so that a feature has
// no place is a [*RefusedError].
func Add(root string, refs ...Ref) (*Plan, error) {
	src, err := shipped()
	if err != nil {
		return nil, err
	}
	return src.add(root, refs)
}

func (src *source) add(root string, refs []Ref) (*Plan, error) {
	project, err := openProject(root)
	if err != nil {
		return nil, err
	}
	before := project.manifest.Normalize()
	after, err := src.extend(before, refs)
	if err != nil {
		return nil, err
	}
	w := wordsOf(after.Name, after.Module)
	m := project.manifest.clone()
	m.Spec = after
	theirs := make(map[string]bool) // files of features that the project has
	for _, o := range src.of(before.refs(), before.Preset) {
		theirs[w.pathOf(o.path)] = true
	}
	var changes []change
	for _, ref := range refs {
		f, _ := src.feature(ref) // validated in extend
		own, err := render(src.of([]Ref{ref}, after.Preset), w)
		if err != nil {
			return nil, err
		}
		changes = append(changes, src.addition(f, w, own, theirs)...)
		for _, file := range own {
			m.Files[file.Path] = file.pristine()
		}
	}
	files, err := fold(changes, project.read)
	if err != nil {
		return nil, refusal(err)
	}
	if err := src.recordShared(m, project, w, files); err != nil {
		return nil, err
	}
	plan := &Plan{Root: root, Spec: after}
	for _, file := range append(files, m.file(project.raw)) {
		plan.touched = append(plan.touched, file.Path)
		if file.differs() {
			plan.Files = append(plan.Files, file)
		}
	}
	return plan, nil
}

// extend returns the spec with the features, or an *InvalidError.
func (src *source) extend(spec Spec, refs []Ref) (Spec, error) {
	var problems []Problem
	for _, ref := range refs {
		if _, ok := src.feature(ref); !ok {
			problems = append(problems, src.unknown(ref))
			continue
		}
		if ref.Kind == templates.Database && spec.Database != "" && spec.Database != ref.Name {
			problems = append(problems, Problem{string(ref.Kind),
				"the project has the database " + spec.Database + " already, and one is the most it can have",
				"remove that one first: daemongen remove database " + spec.Database})
			continue
		}
		spec = spec.with(ref)
	}
	if problems == nil {
		problems = slices.Concat(src.presetProblems(spec), src.featureProblems(spec))
	}
	if problems != nil {
		return Spec{}, &InvalidError{problems}
	}
	return spec, nil
}

// recordShared notes in the manifest how the shared files would be if nobody
// had touched them. Where one was not touched, that is how it will be.
func (src *source) recordShared(m *manifest, project *project, w words, files []File) error {
	var pristine []File
	for _, file := range files {
		switch before := project.manifest.Files[file.Path]; {
		case file.Change == changeCreate:
			continue
		case hash(file.Before) == before:
			m.Files[file.Path] = hash(file.After)
			continue
		case !file.differs() && slices.Equal(m.refs(), project.manifest.refs()):
			continue
		}
		if pristine == nil {
			var err error
			if pristine, err = src.shared(m.Spec, w); err != nil {
				return err
			}
		}
		i := slices.IndexFunc(pristine, func(p File) bool { return p.Path == file.Path })
		m.Files[file.Path] = hash(pristine[i].After)
	}
	return nil
}

// refusal returns the error for a change that could not be made to a file as a
// person left it.
func refusal(err error) error {
	var failed *changeError
	if !errors.As(err, &failed) {
		return err
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused
	}
	return &RefusedError{
		Paths:  []string{failed.path},
		Reason: failed.Error(),
		Hint:   "put this right by hand, then type the command again",
	}
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Files) == 0 }
