// What is in the file and has no place in the sections.

package config

import (
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// recognize reports a statement that no section has a place for. The library's
// own strict mode is of no use here: it takes Count for count, names the keys
// of an inline table without the table, and says nothing once a value is wrong.
func (l *loader) recognize(s statement) {
	isTable := s.kind == unstable.Table || s.kind == unstable.InlineTable
	isKey := !isTable && s.kind != unstable.ArrayTable
	for depth := range s.path {
		name := join(s.path[:depth+1])
		if l.keys[name] != nil {
			return // assign looks at what is below
		}
		if !l.sections[name] {
			isLast := depth == len(s.path)-1
			l.report(name, l.unknown(s.path[:depth+1], isKey && isLast))
			return
		}
	}
	if name := join(s.path); !isTable {
		l.report(name, "is a section and must be written ["+name+"]")
	}
}

// unknown says of a path that it is not known, and what is known near it.
func (l *loader) unknown(path []string, isKey bool) string {
	parent, last := join(path[:len(path)-1]), path[len(path)-1]
	keys, sections := l.below(parent)
	switch near := nearest(last, keys); {
	case isKey && near != "":
		return "unknown key; did you mean " + near + "?"
	case isKey && len(keys) > 0:
		return "unknown key; known are " + strings.Join(keys, ", ")
	case isKey:
		return "unknown key outside of the sections, which are " + strings.Join(sections, ", ")
	default:
		return "unknown section; known are " + strings.Join(sections, ", ")
	}
}

// below returns the names of the keys directly in a section, without it, and of
// the tables below it in full; of all tables if there are none below.
func (l *loader) below(section string) (keys, sections []string) {
	for name := range l.keys {
		if key, ok := strings.CutPrefix(name, section+"."); ok && !strings.Contains(key, ".") {
			keys = append(keys, key)
		}
	}
	for _, t := range l.tables {
		if section != "" && strings.HasPrefix(t.Name, section+".") {
			sections = append(sections, t.Name)
		}
	}
	if len(sections) == 0 {
		sections = l.tableNames()
	}
	slices.Sort(keys)
	slices.Sort(sections)
	return keys, sections
}

// tableNames returns the names of all tables, and in the place of the one
// without a name those of its sections.
func (l *loader) tableNames() []string {
	var names []string
	for _, t := range l.tables {
		if t.Name != "" {
			names = append(names, t.Name)
			continue
		}
		for _, k := range keysOf(t) {
			if name := join(k.path[:1]); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// nearest returns the candidate that the name was probably meant to be, or "":
// at most every third letter is wrong.
func nearest(name string, candidates []string) string {
	best, bound := "", len(name)/3
	for _, candidate := range candidates {
		if difference := len(name) - len(candidate); max(difference, -difference) > bound {
			continue
		}
		if d := distance(strings.ToLower(name), candidate); d <= bound {
			best, bound = candidate, d-1
		}
	}
	return best
}

// distance is how many letters must be inserted, deleted, replaced or swapped
// with their neighbour to turn a into b (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			substitution := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				substitution++
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, substitution)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
