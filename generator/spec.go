package generator

// What was asked for, its defaults and what can be wrong with it. What a name
// or a module path may be is in name.go.

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/daemongen/daemongen/templates"
)

// Spec is what was asked for: everything that decides the bytes of a project.
// Its JSON form is the head of the manifest (.daemongen.json), so that the
// manifest of one project can be the answers for the next.
type Spec struct {
	Name       string            `json:"name"`
	Module     string            `json:"module"`
	Preset     string            `json:"preset,omitempty"`     // a service that is ready; empty: none
	Transports []string          `json:"transports"`           // sorted, none twice
	Database   string            `json:"database,omitempty"`   // empty: none
	Components []string          `json:"components,omitempty"` // sorted, none twice
	Deploy     []string          `json:"deploy,omitempty"`     // sorted, none twice
	User       string            `json:"user,omitempty"`       // daemon.user of the configuration
	Group      string            `json:"group,omitempty"`      // daemon.group; empty: the user's own
	Set        map[string]string `json:"set,omitempty"`        // values of the configuration, by "section.key"
}

// Ref names one feature.
type Ref = templates.Ref

// Defaults of what may be left out.
const (
	defaultUser    = "nobody"
	noDatabase     = "none"
	moduleTemplate = "example.com/"
)

// Settings that have a field of their own.
const (
	userSetting  = "daemon.user"
	groupSetting = "daemon.group"
)

// Presets returns the services that are ready, in the order in which they are listed.
func Presets() []templates.Preset { return templates.Presets() }

// WithPreset returns the spec with the answers of its preset for what it does not say:
// a list that is nil, a text that is empty, and each value of the configuration that is
// not set, where what it is about is plugged in. The error of a preset that does not
// exist is an [*InvalidError].
func (s Spec) WithPreset() (Spec, error) {
	if s.Preset == "" {
		return s, nil
	}
	src, err := shipped()
	if err != nil {
		return s, err
	}
	p := src.presets[s.Preset]
	if p == nil {
		return s, &InvalidError{[]Problem{src.unknownPreset(s.Preset)}}
	}
	if s.Transports == nil {
		s.Transports = slices.Clone(p.Transports)
	}
	s.Database = cmp.Or(s.Database, p.Database, noDatabase)
	s.User = cmp.Or(s.User, s.Set[userSetting], p.User)
	if s.User == p.User { // another one has a group of his own
		s.Group = cmp.Or(s.Group, s.Set[groupSetting], p.Group)
	}
	set := make(map[string]string)
	for key, value := range p.Set {
		if s.plugsIn(key) {
			set[key] = value
		}
	}
	maps.Copy(set, s.Set)
	s.Set = set
	return s, nil
}

// plugsIn reports whether a key of the configuration is in a section that the project
// has: that of a feature comes with it.
func (s Spec) plugsIn(key string) bool {
	parts := strings.Split(key, ".")
	if len(parts) < 3 {
		return true
	}
	return slices.Contains(s.names(templates.Kind(parts[0])), parts[1])
}

// Features returns what can be plugged in, in the order in which it is listed.
func Features() []templates.Feature { return templates.Features() }

// Normalize returns the spec with the defaults in the place of what is missing,
// lists sorted and without repetition, and the database "none" as none. It
// shares nothing with s.
func (s Spec) Normalize() Spec {
	s.Transports = distinct(s.Transports)
	s.Components = distinct(s.Components)
	s.Deploy = distinct(s.Deploy)
	s.Set = maps.Clone(s.Set)
	s.User = taken(s.Set, userSetting, s.User)
	s.Group = taken(s.Set, groupSetting, s.Group)
	if len(s.Set) == 0 {
		s.Set = nil
	}
	if s.Module == "" && s.Name != "" {
		s.Module = moduleTemplate + s.Name
	}
	if s.User == "" {
		s.User = defaultUser
	}
	if s.Database == noDatabase {
		s.Database = ""
	}
	return s
}

// distinct returns a sorted copy without repetition, never nil.
func distinct(list []string) []string {
	sorted := slices.Sorted(slices.Values(list))
	return append([]string{}, slices.Compact(sorted)...)
}

// taken moves a setting into the field that stands for it, unless the field
// says something else.
func taken(settings map[string]string, key, field string) string {
	value, ok := settings[key]
	if !ok || field != "" && field != value {
		return field
	}
	delete(settings, key)
	return value
}

// Validate returns nil, or an [*InvalidError] with all that is wrong with the
// spec once it is normalized.
func (s Spec) Validate() error {
	src, err := shipped()
	if err != nil {
		return err
	}
	return src.validate(s.Normalize())
}

// validate returns nil, an *InvalidError or a *BugError. The spec is normalized.
func (src *source) validate(s Spec) error {
	problems := slices.Concat(src.identityProblems(s), src.presetProblems(s), src.featureProblems(s))
	if len(problems) == 0 {
		config, err := src.config(s)
		if err != nil {
			return err
		}
		problems = settingProblems(config, s)
	}
	if len(problems) > 0 {
		return &InvalidError{problems}
	}
	return nil
}

// identityProblems returns what is wrong with what the project is called and
// whom it belongs to.
func (src *source) identityProblems(s Spec) []Problem {
	var problems []Problem
	if reason := nameProblem(s.Name, src.taken); reason != "" {
		hint := fmt.Sprintf("take for instance %q", proposeName(s.Name, src.taken))
		problems = append(problems, Problem{"name", reason, hint})
	}
	if reason := moduleProblem(s.Module); reason != "" && s.Name != "" && s.Module != moduleTemplate+s.Name {
		hint := fmt.Sprintf("take for instance %q", "github.com/you/"+proposeName(s.Name, src.taken))
		problems = append(problems, Problem{"module", reason, hint})
	}
	for _, account := range []struct{ field, value string }{{"user", s.User}, {"group", s.Group}} {
		if reason := accountProblem(account.value); reason != "" {
			hint := fmt.Sprintf("take for instance %q, or leave it out", defaultUser)
			problems = append(problems, Problem{account.field, reason, hint})
		}
	}
	return problems
}

// presetProblems returns whether there is no such preset, and what it lacks.
func (src *source) presetProblems(s Spec) []Problem {
	if s.Preset == "" {
		return nil
	}
	preset := src.presets[s.Preset]
	if preset == nil {
		return []Problem{src.unknownPreset(s.Preset)}
	}
	var problems []Problem
	for _, kind := range preset.Needs {
		if len(s.names(kind)) == 0 {
			problems = append(problems, Problem{string(kind),
				fmt.Sprintf("the preset %q needs a %s", s.Preset, kind), "name one; daemongen list " + string(kind) + " shows them"})
		}
	}
	return problems
}

// unknownPreset says that there is no such preset.
func (src *source) unknownPreset(name string) Problem {
	return Problem{"preset", fmt.Sprintf("there is no preset %q", name), oneOf(name, slices.Sorted(maps.Keys(src.presets)))}
}

// featureProblems returns what can't be plugged in, and why.
func (src *source) featureProblems(s Spec) []Problem {
	var problems []Problem
	plugged := s.refs()
	for _, ref := range plugged {
		feature, ok := src.feature(ref)
		if !ok {
			problems = append(problems, src.unknown(ref))
			continue
		}
		for _, need := range feature.Needs {
			if !slices.Contains(plugged, need) {
				problems = append(problems, Problem{string(ref.Kind),
					fmt.Sprintf("%q needs the %v", ref.Name, need), fmt.Sprintf("ask for the %v as well", need)})
			}
		}
		for _, other := range feature.Excludes {
			if slices.Contains(plugged, other) {
				problems = append(problems, Problem{string(ref.Kind),
					fmt.Sprintf("%q can't be with the %v", ref.Name, other), "choose one of them"})
			}
		}
	}
	return problems
}

// unknown says that there is no such feature, and proposes one.
func (src *source) unknown(ref Ref) Problem {
	var known []string
	for _, f := range src.features {
		if f.Kind == ref.Kind {
			known = append(known, f.Name)
		}
	}
	p := Problem{Field: string(ref.Kind), Reason: fmt.Sprintf("there is no %s %q", ref.Kind, ref.Name)}
	switch near := Nearest(ref.Name, known); {
	case !slices.Contains(templates.Kinds(), ref.Kind):
		p.Field = "kind"
		p.Reason = fmt.Sprintf("%q is nothing that can be plugged in", ref.Kind)
		p.Hint = fmt.Sprintf("one of %s", join(templates.Kinds()))
	case near != "":
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(known) > 0:
		p.Hint = fmt.Sprintf("one of %s", join(known))
	default:
		p.Hint = fmt.Sprintf("this version has no %s to plug in", ref.Kind)
	}
	return p
}

func join[S ~string](list []S) string {
	var text strings.Builder
	for i, s := range list {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString(string(s))
	}
	return text.String()
}

// settingProblems returns which values can't be put into the configuration.
func settingProblems(config []byte, s Spec) []Problem {
	_, problems := applySettings(config, s)
	for _, said := range []setting{{"user", userSetting, s.User}, {"group", groupSetting, s.Group}} {
		if value, ok := s.Set[said.key]; ok { // what agrees is in the field alone
			reason := fmt.Sprintf("%q is said twice, as %q and as %q", said.key, said.value, value)
			problems = append(problems, Problem{said.field, reason, "say it once"})
		}
	}
	return problems
}

// refs returns the features of the spec, in the order of the kinds, then by name.
func (s Spec) refs() []Ref {
	var refs []Ref
	for _, kind := range templates.Kinds() {
		for _, name := range s.names(kind) {
			refs = append(refs, Ref{Kind: kind, Name: name})
		}
	}
	return refs
}

func (s Spec) names(kind templates.Kind) []string {
	switch kind {
	case templates.Transport:
		return s.Transports
	case templates.Database:
		if s.Database != "" {
			return []string{s.Database}
		}
	case templates.Component:
		return s.Components
	case templates.Deploy:
		return s.Deploy
	}
	return nil
}

// with returns the spec with one more feature.
func (s Spec) with(ref Ref) Spec {
	switch ref.Kind {
	case templates.Transport:
		s.Transports = distinct(append(slices.Clone(s.Transports), ref.Name))
	case templates.Database:
		s.Database = ref.Name
	case templates.Component:
		s.Components = distinct(append(slices.Clone(s.Components), ref.Name))
	case templates.Deploy:
		s.Deploy = distinct(append(slices.Clone(s.Deploy), ref.Name))
	}
	return s
}

// settings returns what is to be set in the configuration, in order.
func (s Spec) settings() []setting {
	var list []setting
	if s.User != "" {
		list = append(list, setting{"user", userSetting, s.User})
	}
	if s.Group != "" {
		list = append(list, setting{"group", groupSetting, s.Group})
	}
	for _, key := range slices.Sorted(maps.Keys(s.Set)) {
		list = append(list, setting{"set", key, s.Set[key]})
	}
	return list
}
