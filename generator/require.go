package generator

// The change Require: it adds what a feature needs to go.mod and go.sum, as
// go mod tidy would, from pins that were recorded before. No network.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// pins are the modules that a project, or one feature, needs.
type pins struct {
	modules []modfile.Require
	sums    []string // lines of go.sum, without line break
}

// readPins reads a recorded go.mod and go.sum.
func readPins(name string, mod, sum []byte) (pins, error) {
	file, err := modfile.ParseLax(name, mod, nil)
	if err != nil {
		return pins{}, err
	}
	var p pins
	for _, r := range file.Require {
		p.modules = append(p.modules, modfile.Require{Mod: r.Mod, Indirect: r.Indirect})
	}
	p.sums = sumLines(sum)
	return p, nil
}

// addModules returns go.mod with the requirements, laid out as go mod tidy does
// it. It returns mod itself if all are there, at their versions or newer.
func addModules(mod []byte, needs []modfile.Require) ([]byte, error) {
	return keepLineBreaks(mod, func(mod []byte) ([]byte, error) {
		file, err := modfile.Parse("go.mod", mod, nil)
		if err != nil {
			return nil, err
		}
		list, changed := merge(file.Require, needs)
		if !changed {
			return mod, nil
		}
		return setRequirements(file, list)
	})
}

// setRequirements returns the file with these requirements, the direct ones in a
// block and the indirect ones in another. What a person wrote around them stays;
// where there is nothing of the kind the result does not depend on the layout
// that was there.
func setRequirements(file *modfile.File, list []*modfile.Require) ([]byte, error) {
	if plain(file.Syntax) {
		file.SetRequireSeparateIndirect(nil)
		file.Cleanup()
	}
	file.SetRequireSeparateIndirect(list)
	file.Cleanup()
	return file.Format()
}

// plain reports whether a go.mod has nothing but what the go command puts there.
func plain(syntax *modfile.FileSyntax) bool {
	for _, statement := range syntax.Stmt {
		var verb string
		lines := []*modfile.Line{}
		switch statement := statement.(type) {
		case *modfile.Line:
			verb, lines = statement.Token[0], append(lines, statement)
		case *modfile.LineBlock:
			verb, lines = statement.Token[0], statement.Line
			if len(statement.Before)+len(statement.Suffix)+len(statement.RParen.Before) > 0 {
				return false
			}
		default:
			return false
		}
		if !slices.Contains([]string{"module", "go", "toolchain", "require"}, verb) {
			return false
		}
		for _, line := range lines {
			if len(line.Before) > 0 || len(line.Suffix) > 1 || len(line.Suffix) == 1 && line.Suffix[0].Token != "// indirect" {
				return false
			}
		}
	}
	return true
}

// merge returns what is required by either list, at the newer version, and
// directly if one of them does.
func merge(have []*modfile.Require, needs []modfile.Require) (list []*modfile.Require, changed bool) {
	for _, r := range have {
		list = append(list, &modfile.Require{Mod: r.Mod, Indirect: r.Indirect})
	}
	for _, need := range needs {
		i := slices.IndexFunc(list, func(r *modfile.Require) bool { return r.Mod.Path == need.Mod.Path })
		if i < 0 {
			list = append(list, &modfile.Require{Mod: need.Mod, Indirect: need.Indirect})
			changed = true
			continue
		}
		r := list[i]
		if semver.Compare(r.Mod.Version, need.Mod.Version) < 0 {
			r.Mod.Version, changed = need.Mod.Version, true
		}
		if r.Indirect && !need.Indirect {
			r.Indirect, changed = false, true
		}
	}
	return list, changed
}

// removeModules is the inverse of addModules: it returns go.mod without the
// requirements, but for those that others keep, as they need them.
func removeModules(mod []byte, needs, keep []modfile.Require) ([]byte, error) {
	return keepLineBreaks(mod, func(mod []byte) ([]byte, error) {
		file, err := modfile.Parse("go.mod", mod, nil)
		if err != nil {
			return nil, err
		}
		var list []*modfile.Require
		changed := false
		for _, r := range file.Require {
			indirect := r.Indirect
			same := func(other modfile.Require) bool { return other.Mod.Path == r.Mod.Path }
			if slices.ContainsFunc(needs, same) {
				i := slices.IndexFunc(keep, same)
				changed = changed || i < 0 || keep[i].Indirect != r.Indirect
				if i < 0 {
					continue
				}
				indirect = keep[i].Indirect
			}
			list = append(list, &modfile.Require{Mod: r.Mod, Indirect: indirect})
		}
		if !changed {
			return mod, nil
		}
		return setRequirements(file, list)
	})
}

// addSums returns go.sum with the lines, sorted as the go command does it. It
// returns sum itself if all are there.
func addSums(sum []byte, lines []string) ([]byte, error) {
	return keepLineBreaks(sum, func(sum []byte) ([]byte, error) {
		have := sumLines(sum)
		var missing []string
		for _, line := range lines {
			if slices.Contains(have, line) {
				continue
			}
			key, _, _ := cutSum(line)
			for _, other := range have {
				if k, _, _ := cutSum(other); k == key {
					return nil, fmt.Errorf("another checksum for %s %s", key.Path, key.Version)
				}
			}
			missing = append(missing, line)
		}
		if len(missing) == 0 {
			return sum, nil
		}
		return joinSums(append(have, missing...)), nil
	})
}

// removeSums is the inverse of addSums: it returns go.sum without the lines, but
// for those to keep.
func removeSums(sum []byte, lines, keep []string) ([]byte, error) {
	return keepLineBreaks(sum, func(sum []byte) ([]byte, error) {
		have := slices.DeleteFunc(sumLines(sum), func(line string) bool {
			return slices.Contains(lines, line) && !slices.Contains(keep, line)
		})
		return joinSums(have), nil
	})
}

func sumLines(sum []byte) []string {
	var lines []string
	for line := range strings.Lines(string(sum)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// joinSums returns lines of go.sum in the order in which the go command writes
// them.
func joinSums(lines []string) []byte {
	hashes := make(map[module.Version][]string)
	var keys []module.Version
	for _, line := range lines {
		key, hash, ok := cutSum(line)
		if !ok {
			continue // nothing that the go command would keep
		}
		if hashes[key] == nil {
			keys = append(keys, key)
		}
		hashes[key] = append(hashes[key], hash)
	}
	module.Sort(keys)
	var out bytes.Buffer
	for _, key := range keys {
		slices.Sort(hashes[key])
		for _, hash := range slices.Compact(hashes[key]) {
			fmt.Fprintf(&out, "%s %s %s\n", key.Path, key.Version, hash)
		}
	}
	return out.Bytes()
}

// cutSum takes a line of go.sum apart. The version may end in /go.mod.
func cutSum(line string) (key module.Version, hash string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return module.Version{}, "", false
	}
	return module.Version{Path: fields[0], Version: fields[1]}, fields[2], true
}

// keepLineBreaks applies a change that knows only \n to a text whose lines may
// end in \r\n, and returns the text itself if nothing changed.
func keepLineBreaks(src []byte, change func([]byte) ([]byte, error)) ([]byte, error) {
	plain := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	changed, err := change(plain)
	if err != nil || bytes.Equal(changed, plain) {
		return src, err
	}
	if len(plain) < len(src) {
		changed = bytes.ReplaceAll(changed, []byte("\n"), []byte("\r\n"))
	}
	return changed, nil
}
