// Package chart draws figures of the benchmarks as an SVG: a panel for each benchmark,
// in it a group of bars for each case, and a bar for each that was measured. A page
// embeds it as an image; it is readable on a light ground and on a dark one, and its
// text is text, to be found and read aloud.
//
// Its goals are few bars and equal bytes for equal figures. It has no axes: each bar
// bears its figure.
package chart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Panel is what one benchmark has measured, all in one unit. The longest bar in it has
// all of the width.
type Panel struct {
	Title  string
	Unit   string
	Groups []Group
}

// Group is one case of a benchmark.
type Group struct {
	Title string // may be empty
	Bars  []Bar
}

// Bar is one that was measured, with a figure above zero.
type Bar struct {
	Title string
	Value float64
	Ours  bool // drawn in the color of what daemongen writes
}

// Distances in the drawing, in pixels.
const (
	width     = 760
	margin    = 16
	textWidth = 250 // of the titles of bars
	figure    = 80  // room for the figure behind the longest bar
	row       = 22  // from bar to bar
	thickness = 16  // of a bar
	heading   = 30
	gap       = 10 // above a panel or group
)

// style has colors that are told apart on both grounds, of which the reader's
// system tells which it has.
const style = `text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.panel { font-weight: 600; font-size: 15px }
.group { font-weight: 600 }
.ours { fill: #0969da }
.other { fill: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.ours { fill: #4493f8 }
.other { fill: #6e7681 }
}
`

// SVG returns the drawing.
func SVG(panels []Panel) []byte {
	d := drawing{y: margin}
	for i, panel := range panels {
		if i > 0 {
			d.y += 2 * gap
		}
		d.panel(panel)
	}
	var all bytes.Buffer
	fmt.Fprintf(&all, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%[2]d" viewBox="0 0 %[1]d %[2]d">`+"\n", width, d.y+margin)
	fmt.Fprintf(&all, "<title>%s</title>\n<style>\n%s</style>\n", escape(titles(panels)), style)
	all.Write(d.body.Bytes())
	all.WriteString("</svg>\n")
	return all.Bytes()
}

func titles(panels []Panel) string {
	var all []string
	for _, panel := range panels {
		all = append(all, panel.Title)
	}
	return strings.Join(all, "; ")
}

// drawing grows downwards.
type drawing struct {
	y    int // where the next line begins
	body bytes.Buffer
}

func (d *drawing) panel(p Panel) {
	d.text("panel", margin, p.Title+", "+p.Unit)
	d.y += heading
	longest := 0.0
	for _, group := range p.Groups {
		for _, bar := range group.Bars {
			longest = max(longest, bar.Value)
		}
	}
	for i, group := range p.Groups {
		if i > 0 {
			d.y += gap
		}
		if group.Title != "" {
			d.text("group", margin, group.Title)
			d.y += row
		}
		for _, bar := range group.Bars {
			d.bar(bar, longest)
		}
	}
}

func (d *drawing) bar(b Bar, longest float64) {
	class := "other"
	if b.Ours {
		class = "ours"
	}
	left := margin + textWidth
	length := max(1, int(math.Round(b.Value/longest*(width-figure-margin-float64(left)))))
	d.text("", margin, b.Title)
	fmt.Fprintf(&d.body, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="2"/>`+"\n", class, left, d.y+(row-thickness)/2, length, thickness)
	d.text("", left+length+6, Figure(b.Value))
	d.y += row
}

// text writes a text in the row that begins here.
func (d *drawing) text(class string, x int, text string) {
	if class != "" {
		class = fmt.Sprintf(` class=%q`, class)
	}
	fmt.Fprintf(&d.body, `<text%s x="%d" y="%d">%s</text>`+"\n", class, x, d.y+row-7, escape(text))
}

func escape(text string) string {
	var escaped bytes.Buffer
	_ = xml.EscapeText(&escaped, []byte(text)) // a buffer takes all
	return escaped.String()
}

// Figure returns a number from 1 on with three digits that count, as benchmarks are not
// more exact, and commas between thousands: 34,700 for 34657.
func Figure(value float64) string {
	whole := value
	if digits := int(math.Floor(math.Log10(value))) + 1; digits > 3 {
		unit := math.Pow10(digits - 3)
		whole = math.Round(value/unit) * unit
	}
	text := strconv.FormatFloat(math.Round(whole), 'f', 0, 64)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
