// Where things stand in a configuration file.

package config

import (
	"bytes"
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxDepth is how many parts of a dotted name are looked at: more than any key
// has, and a bound to the work that a hostile file can cause.
const maxDepth = 16

// document is the text of a configuration file with an index of what it says
// where. The values are not its concern.
type document struct {
	text       []byte
	statements []statement    // in the order of the file
	offsets    map[string]int // of the first mention of a name, or of its header
	lines      []int          // offset of the first byte of each line
	syntax     *syntaxError   // nil: the file is TOML, as far as single statements go
}

// statement is a header or a key with its value; the keys of an inline table
// count as well.
type statement struct {
	path       []string
	kind       unstable.Kind // Table, ArrayTable, or the kind of the value
	start, end int           // the text; that of a header reaches to the next header
}

type syntaxError struct {
	offset int
	reason string
}

// parse makes the index. After a syntax error it ends there.
func parse(text []byte) *document {
	d := &document{text: text, offsets: make(map[string]int), lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	var p unstable.Parser
	p.Reset(text)
	var table []string
	header := -1 // index of the statement of the current table
	for p.NextExpression() {
		node := p.Expression()
		if node.Kind == unstable.KeyValue {
			d.keyValue(table, node, -1, -1)
			continue
		}
		first := node.Key()
		first.Next()
		offset := int(first.Node().Raw.Offset)
		if header >= 0 {
			d.statements[header].end = d.lineStart(offset)
		}
		header = len(d.statements)
		table = d.mention(nil, node.Key(), offset)
		if node.Kind == unstable.Table {
			d.offsets[join(table)] = offset // goes before an earlier mention in passing
		}
		d.statements = append(d.statements, statement{table, node.Kind, d.lineStart(offset), len(text)})
	}
	var syntax *unstable.ParserError
	if errors.As(p.Error(), &syntax) {
		d.syntax = &syntaxError{int(p.Range(syntax.Highlight).Offset), syntax.Message}
	}
	return d
}

// keyValue enters a key with its value, and those in an inline table. start and
// end are those of the statement around an inline table, or negative.
func (d *document) keyValue(table []string, node *unstable.Node, start, end int) {
	if start < 0 {
		start, end = int(node.Raw.Offset), int(node.Raw.Offset+node.Raw.Length)
	}
	path := d.mention(table, node.Key(), -1)
	value := node.Value()
	d.statements = append(d.statements, statement{path, value.Kind, start, end})
	if value.Kind != unstable.InlineTable || len(path) == maxDepth {
		return
	}
	for children := value.Children(); children.Next(); {
		if child := children.Node(); child.Kind == unstable.KeyValue {
			d.keyValue(path, child, start, end)
		}
	}
}

// mention returns the path of a key in a table, and enters the offsets of its
// parts: offset, or the place of each where that is negative.
func (d *document) mention(table []string, key unstable.Iterator, offset int) []string {
	path := slices.Clone(table)
	for key.Next() && len(path) < maxDepth {
		part := key.Node()
		path = append(path, string(part.Data))
		name := join(path)
		if _, ok := d.offsets[name]; ok {
			continue
		}
		d.offsets[name] = offset
		if offset < 0 {
			d.offsets[name] = int(part.Raw.Offset)
		}
	}
	return path
}

// position returns line and column, from 1, of an offset.
func (d *document) position(offset int) (line, column int) {
	line = sort.SearchInts(d.lines, offset+1)
	return line, offset - d.lines[line-1] + 1
}

// offset is the inverse of position.
func (d *document) offset(line, column int) int { return d.lines[line-1] + column - 1 }

func (d *document) lineStart(offset int) int {
	return bytes.LastIndexByte(d.text[:offset], '\n') + 1
}

// at returns the statement at an offset: the innermost, and nil before the first.
func (d *document) at(offset int) *statement {
	for i := len(d.statements) - 1; i >= 0; i-- {
		if s := &d.statements[i]; s.start <= offset && offset < s.end {
			return s
		}
	}
	return nil
}

// blank takes a statement out of the text and leaves every other at its place.
// It reports whether anything was left to take out.
func (d *document) blank(s *statement) bool {
	changed := false
	for i := s.start; i < s.end; i++ {
		if c := d.text[i]; c != '\n' && c != ' ' {
			d.text[i] = ' '
			changed = true
		}
	}
	return changed
}

// join writes a path as TOML does: with quotes round a part that needs them, so
// that no two paths look alike.
func join(path []string) string {
	var b strings.Builder
	for i, part := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		if isBare(part) {
			b.WriteString(part)
		} else {
			b.WriteString(strconv.Quote(part))
		}
	}
	return b.String()
}

func isBare(part string) bool {
	return part != "" && strings.IndexFunc(part, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) < 0
}
