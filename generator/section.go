package generator

// The change Section: it puts a feature's commented fragment into the
// configuration, in its place, as text. What a person wrote stays, byte by byte.

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// block is one table of a configuration: the comment lines directly above its
// [header], the header, and all up to the next block.
type block struct {
	name       []string // the parts of the header
	start, end int      // offsets; end is where the next block starts
	body       int      // offset after the header
	keys       []keyValue
}

// keyValue is one line, or several, of the form key = value.
type keyValue struct {
	key        string
	start, end int // offsets, of the whole
	value      int // offset of the value, which ends at end
}

// blocksOf takes a configuration apart. What is above the first block, or has
// no header, is in none.
func blocksOf(src []byte) ([]block, error) {
	var parser unstable.Parser
	parser.Reset(src)
	var blocks []block
	done := 0 // where the last expression ended
	for parser.NextExpression() {
		expression := parser.Expression()
		name, first, last := keyOf(expression)
		switch expression.Kind {
		case unstable.Table, unstable.ArrayTable:
			start := aboveComments(src, done, first)
			if n := len(blocks); n > 0 {
				blocks[n-1].end = start
			}
			done = lineEnd(src, last)
			blocks = append(blocks, block{name: name, start: start, end: len(src), body: done})
		case unstable.KeyValue:
			start := int(expression.Raw.Offset)
			end := start + int(expression.Raw.Length)
			value := last + bytes.IndexByte(src[last:end], '=') + 1
			value += len(src[value:end]) - len(bytes.TrimLeft(src[value:end], " \t"))
			if n := len(blocks); n > 0 {
				blocks[n-1].keys = append(blocks[n-1].keys, keyValue{strings.Join(name, "."), start, end, value})
			}
			done = end
		}
	}
	if err := parser.Error(); err != nil {
		return nil, atPosition(&parser, err)
	}
	return blocks, nil
}

// keyOf returns the parts of an expression's key, and the offsets of its first
// byte and after its last one.
func keyOf(expression *unstable.Node) (parts []string, first, last int) {
	first = -1
	for it := expression.Key(); it.Next(); {
		node := it.Node()
		if first < 0 {
			first = int(node.Raw.Offset)
		}
		last = int(node.Raw.Offset + node.Raw.Length)
		parts = append(parts, string(node.Data))
	}
	return parts, first, last
}

// aboveComments returns the offset of the first of the comment lines that stand
// directly above the line of offset at, none of them before the offset bound.
func aboveComments(src []byte, bound, at int) int {
	start := lineStart(src, at)
	for start > bound {
		above := lineStart(src, start-1)
		if above < bound || !bytes.HasPrefix(bytes.TrimLeft(src[above:start], " \t"), []byte("#")) {
			break
		}
		start = above
	}
	return start
}

func lineStart(src []byte, at int) int { return bytes.LastIndexByte(src[:at], '\n') + 1 }

// lineEnd returns the offset after the line of offset at, line break included.
func lineEnd(src []byte, at int) int {
	if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(src)
}

// lineBreak returns what ends the lines of a text.
func lineBreak(src []byte) string {
	if i := bytes.IndexByte(src, '\n'); i > 0 && src[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

func atPosition(parser *unstable.Parser, err error) error {
	var problem *unstable.ParserError
	if !errors.As(err, &problem) {
		return err
	}
	at := parser.Shape(parser.Range(problem.Highlight)).Start
	return fmt.Errorf("%d:%d: %s", at.Line, at.Column, problem.Message)
}

// fragmentOf returns the blocks of the table and its sub-tables, as text with
// one line break at the end.
func fragmentOf(config []byte, table string) ([]byte, error) {
	blocks, err := blocksOf(config)
	if err != nil {
		return nil, err
	}
	var fragment []byte
	for _, b := range blocks {
		if b.within(table) {
			fragment = append(fragment, config[b.start:b.end]...)
		}
	}
	if fragment == nil {
		return nil, fmt.Errorf("there is no section [%s]", table)
	}
	return append(bytes.TrimRight(fragment, "\r\n"), '\n'), nil
}

// within reports whether the block is the table or one of its sub-tables.
func (b block) within(table string) bool {
	parts := strings.Split(table, ".")
	return len(b.name) >= len(parts) && slices.Equal(b.name[:len(parts)], parts)
}

// addSection returns the configuration with the fragment of a table in its
// place. It returns config itself if the table is there, in whatever form.
func addSection(config []byte, table string, fragment []byte) ([]byte, error) {
	there, err := hasTable(config, table)
	if there || err != nil {
		return config, err
	}
	blocks, err := blocksOf(config)
	if err != nil {
		return nil, err
	}
	end := lineBreak(config)
	if end != "\n" {
		fragment = bytes.ReplaceAll(fragment, []byte("\n"), []byte(end))
	}
	at, last := placeOf(blocks, strings.Split(table, "."), config)
	before, after := config[:at], config[at:]
	out := slices.Clone(before)
	if at > 0 && before[at-1] != '\n' {
		out = append(out, end...)
	}
	if at > 0 && (last || !endsInBlankLine(before)) {
		out = append(out, end...)
	}
	out = append(out, fragment...)
	if !last {
		out = append(out, end...)
	}
	return append(out, after...), nil
}

// placeOf returns the offset at which a table goes, and whether nothing but
// blank lines follows it there.
func placeOf(blocks []block, table []string, config []byte) (at int, last bool) {
	at = len(bytes.TrimRight(config, " \t\r\n"))
	at = lineEnd(config, at)
	last = true
	for i, b := range slices.Backward(blocks) {
		switch order := compareTables(b.name, table); {
		case order > 0:
			at, last = b.start, false
		case order < 0 && known(b.name):
			if last && i+1 < len(blocks) {
				return blocks[i+1].start, false // before what a person put at the end
			}
			return at, last
		}
	}
	return at, last
}

// compareTables orders the tables of a configuration: those of every project,
// then the features by kind and name. A table of the user's own is below all.
func compareTables(a, b []string) int {
	rank := func(name []string) int { return slices.Index(tableOrder, name[0]) }
	if order := rank(a) - rank(b); order != 0 {
		return order
	}
	return slices.Compare(a, b)
}

var tableOrder = []string{"daemon", "log", "worker", "dead_letters", "transport", "database", "component"}

func known(table []string) bool { return slices.Contains(tableOrder, table[0]) }

// hasTable reports whether the configuration has something under the name of
// the table: a [header], a dotted key or an inline table.
func hasTable(config []byte, table string) (bool, error) {
	var all map[string]any
	if err := toml.Unmarshal(config, &all); err != nil {
		return false, tomlError(err)
	}
	var value any = all
	for part := range strings.SplitSeq(table, ".") {
		within, ok := value.(map[string]any)
		if !ok {
			return value != nil, nil
		}
		if value, ok = within[part]; !ok {
			return false, nil
		}
	}
	return true, nil
}

// tomlError returns the error with its position, on one line.
func tomlError(err error) error {
	var problem *toml.DecodeError
	if errors.As(err, &problem) {
		row, column := problem.Position()
		return fmt.Errorf("%d:%d: %s", row, column, strings.TrimPrefix(problem.Error(), "toml: "))
	}
	return err
}

// removeSection is the inverse of addSection: it returns the configuration
// without the blocks of the table.
func removeSection(config []byte, table string) ([]byte, error) {
	blocks, err := blocksOf(config)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(config)
	last := true // nothing of another table comes after
	for _, b := range slices.Backward(blocks) {
		if !b.within(table) {
			last = false
			continue
		}
		start, end := b.start, min(b.end, len(out))
		if last {
			// It takes the blank line above it, and leaves those at the end of
			// the file.
			end = lineEnd(out, start+len(bytes.TrimRight(out[start:end], " \t\r\n")))
			start -= len(blankLineBefore(out[:start]))
		}
		out = slices.Delete(out, start, end)
	}
	return out, nil
}

func endsInBlankLine(text []byte) bool { return len(blankLineBefore(text)) > 0 }

// blankLineBefore returns the empty line at the end of a text, or nothing.
func blankLineBefore(text []byte) []byte {
	for _, blank := range []string{"\r\n", "\n"} {
		if head, ok := bytes.CutSuffix(text, []byte(blank)); ok && (len(head) == 0 || head[len(head)-1] == '\n') {
			return text[len(head):]
		}
	}
	return nil
}
