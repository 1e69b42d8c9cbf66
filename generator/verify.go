package generator

// What holds for the files of every plan, seen before anything is written.

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/modfile"

	"github.com/daemongen/daemongen/templates"
)

// Verify reports, as a [*VerifyError], what is not sound in the files of the
// plan: Go that does not parse, is not laid out as gofmt does it (unless it was
// not before) or imports what it does not use; a go.mod, configuration or
// manifest that does not parse; and words that should have been replaced. It
// touches no disk and starts no program.
func (p *Plan) Verify() error {
	found := make([][]string, len(p.Files))
	_ = parallel(len(p.Files), func(i int) error {
		found[i] = p.check(p.Files[i])
		return nil
	})
	var problems []string
	for i, list := range found {
		for _, problem := range list {
			problems = append(problems, located(p.Files[i].Path, problem))
		}
	}
	if problems != nil {
		return &VerifyError{Problems: problems, Hint: "nothing was written; look at what the plan would change with --diff"}
	}
	return nil
}

func (p *Plan) check(file File) []string {
	var problems []string
	if file.sound != sha256.Sum256(file.After) {
		if err := checkForm(file); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if file.Before == nil && file.Path != ManifestName {
		problems = append(problems, p.residue(file)...)
	}
	return problems
}

// checkForm reports what is wrong with a file as one of its kind.
func checkForm(file File) error {
	switch {
	case path.Base(file.Path) == goMod:
		_, err := modfile.Parse(goMod, file.After, nil)
		return err
	case file.Path == ManifestName:
		return json.Unmarshal(file.After, new(manifest))
	case path.Ext(file.Path) == ".toml":
		if err := toml.Unmarshal(file.After, new(map[string]any)); err != nil {
			return tomlError(err)
		}
	case path.Ext(file.Path) == ".go":
		return checkGo(file)
	}
	return nil
}

func checkGo(file File) error {
	f, err := parseGo("", file.After)
	if err != nil {
		return err
	}
	if unused := f.unusedImport(); unused != "" {
		before, err := parseGo("", file.Before)
		if file.Before == nil || err == nil && before.unusedImport() != unused {
			return fmt.Errorf("%s is imported and not used", unused)
		}
	}
	if !formatted(file.After) && (file.Before == nil || formatted(file.Before)) {
		return fmt.Errorf("is not laid out as gofmt does it")
	}
	return nil
}

// residue reports what rendering left behind in a new file.
func (p *Plan) residue(file File) []string {
	left := []string{"<no value>", "{{.", "{{ ."}
	if !p.Spec.says(templates.Word) {
		left = append(left, templates.Word[1:], strings.ToUpper(templates.Word[1:])) // Exampled as well
	}
	var problems []string
	for _, text := range left {
		if bytes.Contains(file.After, []byte(text)) {
			problems = append(problems, fmt.Sprintf("%q was left behind by a template", text))
		}
	}
	return problems
}

// says reports whether the word is in something that a person asked for.
func (s Spec) says(word string) bool {
	texts := []string{s.Name, s.Module, s.User, s.Group}
	for key, value := range s.Set {
		texts = append(texts, key, value)
	}
	return strings.Contains(strings.ToLower(strings.Join(texts, "\n")), word)
}
