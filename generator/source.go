package generator

// The house to copy, taken apart: what every project has, and what each feature
// brings.

import (
	"bytes"
	"errors"
	"go/format"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"

	"github.com/daemongen/daemongen/templates"
)

// source is a house, read. It does not change after it was read, but for what
// it remembers behind a lock.
type source struct {
	features []templates.Feature
	presets  map[string]*preset
	taken    map[string]bool // names that no project can have

	bare    []original // files of every project, but for those with entries
	owned   map[Ref][]original
	wire    original // with no entry in it
	conf    original // with no feature's section in it
	prose   []original
	service []byte // what the README says of a service that is no preset's
	pins    pins
	needs   map[Ref]pins
	pieces  map[Ref][]byte // sections of the features
	mod     []byte
	sum     []byte
}

// original is a file of the house: its path in the exemplar, its contents there.
type original struct {
	path string
	src  []byte
}

// preset is a service that is ready, read.
type preset struct {
	templates.Preset
	files    []original
	sections []byte // of the configuration
	prose    []byte // of the README
	pins     pins
}

// shipped returns the house that is built into the program, read once.
var shipped = sync.OnceValues(func() (*source, error) { return read(templates.Shipped()) })

// read takes a house apart. All that is wrong with it is a *BugError.
func read(house templates.House) (*source, error) {
	src := &source{
		features: house.Features,
		presets:  make(map[string]*preset),
		taken:    set(string(house.Names)),
		owned:    make(map[Ref][]original),
		needs:    make(map[Ref]pins),
		pieces:   make(map[Ref][]byte),
	}
	err := errors.Join(src.readExemplar(house.Exemplar), src.readProse(house.Text), src.readPresets(house))
	if err = errors.Join(err, src.readPins(house.Modules)); err != nil {
		return nil, bug(err)
	}
	if err := src.bareFiles(); err != nil {
		return nil, bug(err)
	}
	return src, nil
}

// readExemplar puts each file to the features that own it, or to none.
func (src *source) readExemplar(exemplar fs.FS) error {
	return fs.WalkDir(exemplar, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && name == templates.PresetFolder {
			return fs.SkipDir
		}
		if err != nil || entry.IsDir() || !templates.Ships(name) {
			return err
		}
		data, err := fs.ReadFile(exemplar, name)
		if err != nil {
			return err
		}
		file := original{name, data}
		owners := src.owners(name)
		for _, owner := range owners {
			src.owned[owner] = append(src.owned[owner], file)
		}
		switch {
		case len(owners) > 0:
		case name == templates.Wire:
			src.wire = file
		case name == templates.Config:
			src.conf = file
		default:
			src.bare = append(src.bare, file)
		}
		return nil
	})
}

// owners returns the features that a file belongs to: more than one where they
// share a folder.
func (src *source) owners(name string) (owners []Ref) {
	for _, f := range src.features {
		if slices.ContainsFunc(f.Folders, func(folder string) bool { return strings.HasPrefix(name, folder+"/") }) {
			owners = append(owners, f.Ref)
		}
	}
	return owners
}

// of returns the files that belong to the features, each once, as they are in a
// project of the preset, if it is of any.
func (src *source) of(refs []Ref, preset string) (files []original) {
	seen := make(map[string]bool)
	for _, ref := range refs {
		for _, file := range src.owned[ref] {
			if !seen[file.path] {
				seen[file.path] = true
				files = append(files, file)
			}
		}
	}
	return src.withPreset(files, preset, func(owners []Ref) bool {
		return slices.ContainsFunc(owners, func(owner Ref) bool { return slices.Contains(refs, owner) })
	})
}

// bareOf returns the files of every project that no feature owns, likewise.
func (src *source) bareOf(preset string) []original {
	return src.withPreset(src.bare, preset, func(owners []Ref) bool { return len(owners) == 0 })
}

// withPreset returns files of the exemplar as they are in a project of a preset: with
// those of its files whose owners are wanted, and without those that they stand for.
func (src *source) withPreset(files []original, name string, wanted func(owners []Ref) bool) []original {
	preset := src.presets[name]
	if preset == nil {
		return files
	}
	place := func(o original) string { return path.Dir(o.path) + "/*" + path.Ext(o.path) }
	replaced := make(map[string]bool)
	var all []original
	for _, file := range preset.files {
		if wanted(src.owners(file.path)) {
			replaced[place(file)] = true
			all = append(all, file)
		}
	}
	for _, file := range files {
		if !replaced[place(file)] {
			all = append(all, file)
		}
	}
	return all
}

// readPresets reads the files of each preset. What they import of their own is where
// the module of a project has it.
func (src *source) readPresets(house templates.House) error {
	for _, p := range house.Presets {
		ready := &preset{Preset: p}
		folder := path.Join(templates.PresetFolder, p.Name)
		own, module := []byte(templates.ImportPath+"/"+folder), []byte(templates.ImportPath)
		root, err := fs.Sub(house.Exemplar, folder)
		if err != nil {
			return err
		}
		err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := fs.ReadFile(root, name)
			switch {
			case name == templates.Config:
				ready.sections = data
			case name == templates.PresetProse:
				ready.prose = data
			case templates.Ships(name):
				ready.files = append(ready.files, original{name, bytes.ReplaceAll(data, own, module)})
			}
			return err
		})
		if err != nil {
			return err
		}
		src.presets[p.Name] = ready
	}
	return nil
}

const proseSuffix = ".tmpl"

func (src *source) readProse(text fs.FS) error {
	return fs.WalkDir(text, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(text, name)
		if name == templates.PresetProse {
			src.service = data
		} else if target, ok := strings.CutSuffix(name, proseSuffix); ok {
			src.prose = append(src.prose, original{target, data})
		}
		return err
	})
}

// readPins reads what was recorded of go.mod and go.sum. A feature without
// modules of its own has no record.
func (src *source) readPins(modules fs.FS) (err error) {
	load := func(name string) ([]byte, error) {
		data, err := fs.ReadFile(modules, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return data, err
	}
	pair := func(name string) (mod, sum []byte, p pins, err error) {
		mod, err1 := load(name + ".mod")
		sum, err2 := load(name + ".sum")
		p, err3 := readPins(name+".mod", mod, sum)
		return mod, sum, p, errors.Join(err1, err2, err3)
	}
	if src.mod, src.sum, src.pins, err = pair("bare"); err != nil {
		return err
	}
	for _, f := range src.features {
		if _, _, src.needs[f.Ref], err = pair(table(f.Ref)); err != nil {
			return err
		}
	}
	for _, p := range src.presets {
		if _, _, p.pins, err = pair("preset." + p.Name); err != nil {
			return err
		}
	}
	return nil
}

// bareFiles takes the entries and the sections of all features out of the
// files that have them.
func (src *source) bareFiles() (err error) {
	for _, f := range src.features {
		if f.Kind.Variable() == "" {
			continue
		}
		if src.wire.src, err = src.entry(f, templates.ImportPath).cut(src.wire.src); err != nil {
			return err
		}
		if src.pieces[f.Ref], err = fragmentOf(src.conf.src, table(f.Ref)); err != nil {
			return err
		}
	}
	for ref := range src.pieces {
		if src.conf.src, err = removeSection(src.conf.src, table(ref)); err != nil {
			return err
		}
	}
	src.wire.src, err = format.Source(src.wire.src)
	return err
}

// table returns the name of the feature's section in the configuration.
func table(ref Ref) string { return string(ref.Kind) + "." + ref.Name }

func (src *source) feature(ref Ref) (templates.Feature, bool) {
	i := slices.IndexFunc(src.features, func(f templates.Feature) bool { return f.Ref == ref })
	if i < 0 {
		return templates.Feature{}, false
	}
	return src.features[i], true
}

// entry returns the feature's entry in the wire file of a project.
func (src *source) entry(f templates.Feature, module string) entry {
	return entry{
		file:     templates.Wire,
		variable: f.Kind.Variable(),
		key:      f.Name,
		path:     module + "/" + f.Folders[0],
		alias:    string(f.Kind) + path.Base(f.Folders[0]),
		module:   module,
	}
}

// goMod returns go.mod of a project without features.
func (src *source) goMod(w words) ([]byte, error) {
	file, err := modfile.Parse("bare.mod", src.mod, nil)
	if err != nil {
		return nil, err
	}
	if err := file.AddModuleStmt(w.Module); err != nil {
		return nil, err
	}
	list, _ := merge(nil, src.pins.modules)
	return setRequirements(file, list)
}
