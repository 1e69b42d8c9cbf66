// Statements that are written once and go to every database.

package database

import "strings"

// Rebind returns a statement whose parameters are written as question marks in
// the form that the database takes. Question marks in strings, quoted names and
// comments stay; an operator with a question mark has no place in such a
// statement.
func (db *DB) Rebind(query string) string {
	placeholder := db.current.Load().Placeholder
	if placeholder == nil {
		return query
	}
	var out strings.Builder
	parameters := 0
	for rest := query; rest != ""; {
		n := literal(rest)
		if n == 0 && rest[0] == '?' {
			parameters++
			out.WriteString(placeholder(parameters))
			rest = rest[1:]
			continue
		}
		n = max(n, 1)
		out.WriteString(rest[:n])
		rest = rest[n:]
	}
	return out.String()
}

// literal returns the length of the string, quoted name or comment that query
// begins with, 0 if there is none. A quote that is doubled inside of a string
// makes it two strings in a row, which comes to the same.
func literal(query string) int {
	switch {
	case query[0] == '\'', query[0] == '"', query[0] == '`':
		return through(query, 1, query[:1])
	case strings.HasPrefix(query, "--"):
		return through(query, 2, "\n")
	case strings.HasPrefix(query, "/*"):
		return through(query, 2, "*/")
	}
	return 0
}

// through returns the length of query up to and with the first end at or after
// from; all of it if there is none.
func through(query string, from int, end string) int {
	if n := strings.Index(query[from:], end); n >= 0 {
		return from + n + len(end)
	}
	return len(query)
}
