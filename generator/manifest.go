package generator

// The manifest: what was asked for, and how its files were before anybody
// touched them.
//
// Goals of the format: a person can read it and correct it by hand; the
// manifest of one project is the answers for the next; a change of the project
// is a small change of the manifest; it says, without the files, what was
// generated. It is a function of the spec and of the version of daemongen, so
// that a project made at once and one made by additions have the same.
//
// Non-goals: a record of who made the project, when, where or by which command;
// the contents of the files; anything that the daemon reads.

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Version is the version of the templates, and of the generator with them.
const Version = "0.1.0"

// ManifestName is the path of the manifest in a project.
const ManifestName = ".daemongen.json"

// manifest is the contents of the file: the spec, then what made it.
type manifest struct {
	Spec
	Daemongen string            `json:"daemongen"` // version that the files are of
	Files     map[string]string `json:"files"`     // "sha256:…" of the pristine bytes, by path
}

func (m *manifest) clone() *manifest {
	c := *m
	c.Files = maps.Clone(m.Files)
	if c.Files == nil {
		c.Files = make(map[string]string)
	}
	return &c
}

// file returns the manifest as a file of a plan.
func (m *manifest) file(before []byte) File {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		panic(err) // strings, lists and maps of strings
	}
	return File{Path: ManifestName, Before: before, After: out.Bytes(), Mode: 0o644, Change: changeManifest}
}

// hash returns the form in which the manifest notes contents.
func hash(data []byte) string { return hashText(sha256.Sum256(data)) }

func hashText(sum [sha256.Size]byte) string { return "sha256:" + hex.EncodeToString(sum[:]) }

// pristine returns what the manifest notes for a file that was just rendered.
func (f File) pristine() string {
	if f.sound != [sha256.Size]byte{} {
		return hashText(f.sound)
	}
	return hash(f.After)
}

// fields are the keys of a manifest, with the words of the command line for them.
var fields = map[string]string{
	"name": "name", "module": "module", "preset": "preset", "transports": "transport", "database": "database",
	"components": "component", "deploy": "deploy", "user": "user", "group": "group", "set": "set",
	"daemongen": "daemongen", "files": "files",
}

// ReadAnswers reads the answers to all questions from the manifest of a
// project, or from a file with some of its keys. What is unknown or of the wrong
// type is an [*InvalidError], all of it at once.
func ReadAnswers(data []byte) (Spec, error) {
	m, err := readManifest(data)
	if err != nil {
		return Spec{}, err
	}
	return m.Spec, nil
}

// readManifest reads a manifest strictly. It need not be complete.
func readManifest(data []byte) (*manifest, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, invalid("from", "it is one JSON object, such as the "+ManifestName+" of a project", "%s", jsonReason(data, err))
	}
	m := new(manifest)
	into := map[string]any{
		"name": &m.Name, "module": &m.Module, "preset": &m.Preset, "transports": &m.Transports, "database": &m.Database,
		"components": &m.Components, "deploy": &m.Deploy, "user": &m.User, "group": &m.Group, "set": &m.Set,
		"daemongen": &m.Daemongen, "files": &m.Files,
	}
	known := slices.Sorted(maps.Keys(into))
	var problems []Problem
	for _, key := range slices.Sorted(maps.Keys(all)) {
		target, ok := into[key]
		if !ok {
			problems = append(problems, Problem{"from", fmt.Sprintf("unknown key %q", key), oneOf(key, known)})
			continue
		}
		if err := json.Unmarshal(all[key], target); err != nil {
			problems = append(problems, Problem{fields[key], fmt.Sprintf("the value of %q must be %s, is %s", key, wanted(target), all[key]), ""})
		}
	}
	if problems != nil {
		return nil, &InvalidError{problems}
	}
	return m, nil
}

func wanted(target any) string {
	switch target.(type) {
	case *[]string:
		return `a list of texts, ["tcp"]`
	case *map[string]string:
		return `an object of texts, {"section.key": "value"}`
	}
	return "a text"
}

// jsonReason says where a text stops being JSON.
func jsonReason(data []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return "not a JSON object"
	}
	at := min(int(syntax.Offset), len(data))
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	return fmt.Sprintf("%d:%d: %v", line, max(1, at-lineStart(data, at)), err)
}
