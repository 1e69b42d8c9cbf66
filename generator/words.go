package generator

// The one replacement that turns a file of the exemplar into a file of the
// project: the import path, and the word in the form that its place asks for.

import (
	"bytes"
	"go/scanner"
	"go/token"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/daemongen/daemongen/templates"
)

// words are the forms that the name of a project takes. They are also what the
// templates of prose know.
type words struct {
	Module      string // github.com/acme/my-feed
	Name        string // my-feed: the program, its files, messages
	Package     string // myfeed: the Go package, and Go files named after it
	Table       string // my_feed: in SQL
	Environment string // MY_FEED: before _CONFIG
}

func wordsOf(name, module string) words {
	return words{
		Module:      module,
		Name:        name,
		Package:     packageForm(name),
		Table:       tableForm(name),
		Environment: strings.ToUpper(tableForm(name)),
	}
}

func packageForm(name string) string { return strings.ReplaceAll(name, "-", "") }
func tableForm(name string) string   { return strings.ReplaceAll(name, "-", "_") }

// pathOf returns where the exemplar's file goes in the project.
func (w words) pathOf(file string) string {
	dir, base := path.Split(file)
	form := w.Name
	if strings.HasSuffix(base, ".go") {
		form = w.Package
	}
	return strings.ReplaceAll(dir, templates.Word, w.Name) + strings.ReplaceAll(base, templates.Word, form)
}

var (
	lowerWord  = []byte(templates.Word)
	upperWord  = bytes.ToUpper(lowerWord)
	importPath = []byte(templates.ImportPath)
	importBase = importPath[:len(importPath)-len(lowerWord)]
)

// replace returns src, the contents of the exemplar's file, in the words of the
// project. One pass, so that what it puts in is never replaced again. Moved says
// of Go source that something else than an import path or a line of comment is
// of another length now, so that gofmt might align it otherwise.
func (w words) replace(file string, src []byte) (out []byte, moved bool) {
	isGo := strings.HasSuffix(file, ".go")
	var identifiers []int
	if isGo {
		identifiers = identifierWords(src)
	}
	out = make([]byte, 0, len(src)+len(src)/8)
	lower, upper, done := 0, 0, 0
	for {
		lower = next(src, lowerWord, lower, done)
		upper = next(src, upperWord, upper, done)
		at := min(lower, upper)
		if at == len(src) {
			return append(out, src[done:]...), moved
		}
		for len(identifiers) > 0 && identifiers[0] < at {
			identifiers = identifiers[1:]
		}
		before, after := src[done:at], src[at+len(lowerWord):]
		var form string
		isPath := bytes.HasSuffix(before, importBase)
		switch {
		case at == upper:
			form = w.Environment
		case isPath:
			before = before[:len(before)-len(importBase)]
			form = w.Module
		case len(identifiers) > 0 && identifiers[0] == at,
			isGo && namesPackage(src[:at], after):
			form = w.Package
		case afterTableKeyword(src[:at]):
			form = w.Table
		default:
			form = w.Name
		}
		moved = moved || isGo && !isPath && !inCommentLine(src, at)
		out = append(append(out, before...), form...)
		done = at + len(lowerWord)
	}
}

// inCommentLine reports whether the line of offset at is nothing but a comment.
func inCommentLine(src []byte, at int) bool {
	line := bytes.TrimLeft(src[lineStart(src, at):at], " \t")
	return bytes.HasPrefix(line, []byte("//"))
}

// next returns where word is in src from done on, len(src) if it is not. The
// position known so far is looked up again only once it is passed.
func next(src, word []byte, known, done int) int {
	if known >= done && known > 0 {
		return known
	}
	if i := bytes.Index(src[done:], word); i >= 0 {
		return done + i
	}
	return len(src)
}

// identifierWords returns, in order, where the word is in an identifier of the
// Go source. Most files have it in import paths alone, and are not scanned.
func identifierWords(src []byte) []int {
	if bytes.Count(src, lowerWord) == bytes.Count(src, importPath) {
		return nil
	}
	var at []int
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, 0)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return at
		}
		if tok != token.IDENT {
			continue
		}
		for start := 0; ; {
			i := strings.Index(text[start:], templates.Word)
			if i < 0 {
				break
			}
			at = append(at, file.Offset(pos)+start+i)
			start += i + len(templates.Word)
		}
	}
}

// namesPackage reports whether a comment or string of Go source means the
// package: "Package exampled …", or exampled.Handler.
func namesPackage(before, after []byte) bool {
	if len(after) > 1 && after[0] == '.' && 'A' <= after[1] && after[1] <= 'Z' {
		return true
	}
	return endsInWord(before, " ", "Package", "package")
}

// afterTableKeyword reports whether a table's name follows, in SQL or in prose.
func afterTableKeyword(before []byte) bool {
	if n := len(before); n > 0 && (before[n-1] == '"' || before[n-1] == '`') {
		before = before[:n-1]
	}
	return endsInWord(before, " \t\r\n", "INTO", "FROM", "TABLE", "EXISTS", "UPDATE", "JOIN", "ON", "table")
}

// endsInWord reports whether text ends in one of the words, whole, and at least
// one of the spaces.
func endsInWord(text []byte, spaces string, words ...string) bool {
	trimmed := bytes.TrimRight(text, spaces)
	if len(trimmed) == len(text) {
		return false
	}
	for _, word := range words {
		if head, ok := bytes.CutSuffix(trimmed, []byte(word)); ok {
			last, _ := utf8.DecodeLastRune(head)
			return len(head) == 0 || !isWordRune(last)
		}
	}
	return false
}

func isWordRune(r rune) bool {
	return r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r >= utf8.RuneSelf && r != utf8.RuneError
}
