package main

// How dead letters look. What they hold came from anybody: nothing of it gets to a
// terminal that could do something there.

import (
	"bufio"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"example.com/fee/internal/deadletters"
)

// summary is a letter in a list.
type summary struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Transport string    `json:"transport"`
	Key       string    `json:"key,omitempty"`
	Attempts  int       `json:"attempts"`
	Size      int       `json:"size"` // of the message, in bytes
	Reason    string    `json:"reason"`

	beginning string // of the message, quoted
}

// How much of a letter is on its line of a table.
const (
	reasonWidth  = 40
	messageWidth = 30
)

func summarize(l deadletters.Letter) summary {
	return summary{
		ID: l.ID, Time: l.Time, Transport: l.Transport, Key: strings.ToValidUTF8(l.Key, "\uFFFD"),
		Attempts: l.Attempts, Size: len(l.Message), Reason: l.Reason,
		beginning: cut(strconv.Quote(string(l.Message[:min(len(l.Message), messageWidth)])), messageWidth),
	}
}

// table prints letters, one a line, under a head.
type table struct {
	out  *bufio.Writer
	head bool // was printed
}

func newTable(w io.Writer) *table { return &table{out: bufio.NewWriter(w)} }

func (t *table) row(s summary) {
	if !t.head {
		t.head = true
		printf(t.out, "%-9s  %-20s  %-10s  %8s  %9s  %-*s  %s\n",
			"ID", "TIME", "TRANSPORT", "ATTEMPTS", "SIZE", reasonWidth, "REASON", "MESSAGE")
	}
	printf(t.out, "%-9s  %-20s  %-10s  %8d  %9d  %-*s  %s\n",
		s.ID, s.Time.Format(time.RFC3339), printable(s.Transport), s.Attempts, s.Size,
		reasonWidth, cut(printable(s.Reason), reasonWidth), s.beginning)
}

// flush prints what is left. Where that fails there is nobody left to be told.
func (t *table) flush() { _ = t.out.Flush() }

// printLetter prints all of a letter, below another one if there is one.
func printLetter(w io.Writer, l deadletters.Letter, below bool) {
	if below {
		printf(w, "\n")
	}
	printf(w, "id:        %s\ntime:      %s\ntransport: %s\n", l.ID, l.Time.Format(time.RFC3339Nano), printable(l.Transport))
	if l.Key != "" {
		printf(w, "key:       %s\n", printable(l.Key))
	}
	printf(w, "attempts:  %d\nreason:    %s\nsize:      %d bytes\n\n", l.Attempts, printable(l.Reason), len(l.Message))
	if !utf8.Valid(l.Message) {
		printf(w, "%s", hex.Dump(l.Message))
		return
	}
	for text := range strings.Lines(string(l.Message)) {
		printf(w, "%s\n", printable(strings.TrimSuffix(text, "\n")))
	}
}

// printable is text on a line, with what can't be printed in the form that it has
// in Go strings.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == utf8.RuneError || unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// cut is the beginning of a text, with a mark if that is not all.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}
