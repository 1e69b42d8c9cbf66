// The keys of the sections, found by their struct tags.

package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"
)

// key is one setting of a section.
type key struct {
	name    string // in full: "worker.count"
	path    []string
	table   *Table
	field   reflect.Value // settable
	restart bool          // tagged reload:"restart"
}

// keysOf returns the keys of a table in the order of the fields. A struct
// within the section is a section of its own, unless it reads itself from text;
// an embedded one belongs to the struct around it. Fields without a toml tag
// are no keys.
func keysOf(t *Table) []*key {
	var keys []*key
	var walk func(v reflect.Value, path []string, restart bool)
	walk = func(v reflect.Value, path []string, restart bool) {
		for i := range v.NumField() {
			field := v.Type().Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
			restart := restart || field.Tag.Get("reload") == "restart"
			switch {
			case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
				walk(v.Field(i), path, restart)
				continue
			case name == "" || name == "-" || !field.IsExported():
				continue
			}
			at := append(slices.Clone(path), name)
			if field.Type.Kind() == reflect.Struct && !reflect.PointerTo(field.Type).Implements(textUnmarshalerType) {
				walk(v.Field(i), at, restart)
				continue
			}
			keys = append(keys, &key{join(at), at, t, v.Field(i), restart})
		}
	}
	walk(reflect.ValueOf(t.Section).Elem(), t.path(), false)
	return keys
}

var (
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	pathType            = reflect.TypeFor[Path]()
)
