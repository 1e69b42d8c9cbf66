package generator

// Values of the configuration that were asked for: each edits one line.

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// setting is one value that was asked for.
type setting struct {
	field string // in the words of the command line
	key   string // section.key
	value string // as typed
}

// applySettings returns the configuration with the settings of the spec, and
// what is wrong with those that it can't take.
func applySettings(config []byte, s Spec) ([]byte, []Problem) {
	var problems []Problem
	for _, set := range s.settings() {
		changed, problem := applySetting(config, set)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		config = changed
	}
	return config, problems
}

func applySetting(config []byte, set setting) ([]byte, *Problem) {
	fail := func(hint, format string, args ...any) ([]byte, *Problem) {
		return nil, &Problem{set.field, fmt.Sprintf(format, args...), hint}
	}
	blocks, err := blocksOf(config)
	if err != nil {
		return fail("", "%v", err)
	}
	dot := strings.LastIndexByte(set.key, '.')
	if dot < 0 {
		return fail("write it as section.key=value", "%q names no section", set.key)
	}
	section, key := set.key[:dot], set.key[dot+1:]
	var sections []string
	for _, b := range blocks {
		name := strings.Join(b.name, ".")
		if name != section {
			sections = append(sections, name)
			continue
		}
		keys := append(slices.Clone(b.keys), commentedKeys(config, b)...)
		i := slices.IndexFunc(keys, func(kv keyValue) bool { return kv.key == key })
		if i < 0 {
			return fail(oneOf(key, keyNames(keys)), "%q: section [%s] has no key %q", set.key, section, key)
		}
		value, err := encode(set.value, config[keys[i].value:keys[i].end])
		if err != nil {
			return fail("", "%q: %v", set.key, err)
		}
		return setValue(config, keys[i], value), nil
	}
	return fail(oneOf(section, sections), "%q: there is no section [%s]", set.key, section)
}

func oneOf(typed string, known []string) string {
	if near := Nearest(typed, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "one of " + join(known)
}

func keyNames(keys []keyValue) []string {
	names := make([]string, len(keys))
	for i, kv := range keys {
		names[i] = kv.key
	}
	return names
}

// commentedKeys returns the defaults that stand in a block as comments, in the
// form # key = value.
func commentedKeys(config []byte, b block) []keyValue {
	var found []keyValue
	for start := b.body; start < b.end; start = lineEnd(config, start) {
		if i := slices.IndexFunc(b.keys, func(kv keyValue) bool { return kv.start <= start && start < kv.end }); i >= 0 {
			start = b.keys[i].end // inside a value of several lines
			continue
		}
		line := config[start:lineEnd(config, start)]
		text := bytes.TrimLeft(line, " \t")
		if !bytes.HasPrefix(text, []byte("#")) {
			continue
		}
		text = bytes.TrimLeft(text, "# \t")
		offset := start + len(line) - len(text)
		// The header makes it a document; prose is none.
		inner, err := blocksOf(append([]byte("[x]\n"), text...))
		if err != nil || len(inner[0].keys) != 1 || toml.Unmarshal(text, new(map[string]any)) != nil {
			continue
		}
		kv := inner[0].keys[0]
		shift := offset - len("[x]\n")
		found = append(found, keyValue{kv.key, start, kv.end + shift, kv.value + shift})
	}
	return found
}

// setValue puts a value in the place of another. A commented default comes to life.
func setValue(config []byte, kv keyValue, value string) []byte {
	head := config[:kv.start]
	line := bytes.TrimLeft(config[kv.start:kv.value], "# \t")
	indent := config[kv.start : kv.start+len(config[kv.start:])-len(bytes.TrimLeft(config[kv.start:], " \t"))]
	return slices.Concat(head, indent, line, []byte(value), config[kv.end:])
}

// encode returns what was typed as a TOML value of the type that the present
// value has; the present value itself where it is the same.
func encode(typed string, present []byte) (string, error) {
	was, err := decode(string(present))
	if err != nil {
		return "", err
	}
	is, err := decode(typed)
	if _, text := was.(string); text {
		if _, quoted := is.(string); err == nil && quoted {
			return typed, nil
		}
		if was == typed {
			return string(present), nil
		}
		return quote(typed)
	}
	if whole, ok := is.(int64); ok {
		if _, fraction := was.(float64); fraction {
			is, typed = float64(whole), fmt.Sprintf("%d.0", whole)
		}
	}
	if err != nil || kindOf(is) != kindOf(was) {
		return "", fmt.Errorf("%q is not %s, as the default %s is", typed, kindOf(was), present)
	}
	return typed, nil
}

// decode reads one TOML value, and nothing after it.
func decode(value string) (any, error) {
	text := []byte("[x]\nx = " + value)
	blocks, err := blocksOf(text)
	if err != nil {
		return nil, err
	}
	if len(blocks) != 1 || len(blocks[0].keys) != 1 || blocks[0].keys[0].end != len(text) {
		return nil, errors.New("more than one value")
	}
	var doc struct{ X map[string]any }
	if err := toml.Unmarshal(text, &doc); err != nil {
		return nil, tomlError(err)
	}
	return doc.X["x"], nil
}

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case bool:
		return "true or false"
	case int64:
		return "a whole number"
	case float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a time"
}

// quote returns text as a basic string of TOML.
func quote(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("%q is not UTF-8", text)
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}
