// What a reload would change.

package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Changed returns the full names ("worker.count"), in order, of the keys that
// have different values in two sets of tables, and which of them can't change
// while the service runs. A table that is present in one set only stands in
// both lists under its own name, unless that has no dot: such a section is in
// force with its defaults as well.
func Changed(from, to []*Table) (all, restart []string) {
	before, after := settings(from), settings(to)
	union := maps.Clone(before)
	maps.Copy(union, after)
	for _, name := range slices.Sorted(maps.Keys(union)) {
		a, inBefore := before[name]
		b, inAfter := after[name]
		isChanged := union[name].isTable && inBefore != inAfter
		if inBefore && inAfter {
			isChanged = !reflect.DeepEqual(a.value, b.value)
		}
		if !isChanged {
			continue
		}
		all = append(all, name)
		if union[name].restart {
			restart = append(restart, name)
		}
	}
	return all, restart
}

// setting is the value of a key, or stands for a table that need not be there.
type setting struct {
	value   any
	restart bool
	isTable bool
}

// settings returns all that is in force, by name.
func settings(tables []*Table) map[string]setting {
	m := make(map[string]setting)
	for _, t := range tables {
		if strings.Contains(t.Name, ".") {
			if !t.Present {
				continue
			}
			m[t.Name] = setting{restart: true, isTable: true}
		}
		for _, k := range keysOf(t) {
			m[k.name] = setting{value: k.field.Interface(), restart: k.restart}
		}
	}
	return m
}
