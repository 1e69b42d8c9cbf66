package generator

// A project on the disk, as far as a plan has to read it.

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

type project struct {
	root     string
	manifest *manifest
	raw      []byte // of the manifest
}

// FindProject returns the folder of the project that dir is in: the nearest one
// upwards with a manifest. The error is a [*FailedError] if there is none.
func FindProject(dir string) (root string, err error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for root = start; ; root = filepath.Dir(root) {
		info, err := os.Stat(filepath.Join(root, ManifestName))
		if err == nil && info.Mode().IsRegular() {
			return root, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if root == filepath.Dir(root) {
			return "", &FailedError{
				Err:  fmt.Errorf("%s is in no project: there is no %s in it or above it", start, ManifestName),
				Hint: "go into the folder of a project, or make one with daemongen new NAME",
			}
		}
	}
}

// openProject reads the manifest of the project in a folder, and checks that it
// is about what is there.
func openProject(root string) (*project, error) {
	p := &project{root: root}
	var err error
	if p.raw, err = os.ReadFile(filepath.Join(root, ManifestName)); err != nil {
		return nil, err
	}
	if p.manifest, err = readManifest(p.raw); err != nil {
		return nil, p.broken(ManifestName, err)
	}
	if !wellFormed(p.manifest.Name) {
		return nil, p.broken(ManifestName, fmt.Errorf("%q is not a name", p.manifest.Name))
	}
	if semver.Compare("v"+p.manifest.Daemongen, "v"+Version) > 0 {
		return nil, &RefusedError{
			Paths:  []string{ManifestName},
			Reason: fmt.Sprintf("the project is of daemongen %s, and this is %s", p.manifest.Daemongen, Version),
			Hint:   "bring daemongen up to date",
		}
	}
	mod, err := p.read(goMod)
	if err != nil {
		return nil, err
	}
	if mod == nil {
		return nil, p.broken(goMod, errors.New("is missing"))
	}
	if module := modfile.ModulePath(bytes.ReplaceAll(mod, []byte("\r"), nil)); module != p.manifest.Module {
		return nil, &RefusedError{
			Paths:  []string{goMod},
			Reason: fmt.Sprintf("%s says module %s, %s says %s", goMod, module, ManifestName, p.manifest.Module),
			Hint:   "if the module has a new name, say so in " + ManifestName,
		}
	}
	return p, nil
}

func (p *project) broken(name string, err error) error {
	return &RefusedError{
		Paths:  []string{name},
		Reason: fmt.Sprintf("%s: %v", name, err),
		Hint:   "put this right by hand, then type the command again",
	}
}

// read returns the contents of a file, nil if there is none.
func (p *project) read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(p.root, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, p.broken(name, err)
	}
	return data, nil
}
