package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daemongen/daemongen/bench/chart"
)

var update = flag.Bool("update", false, "write what is recorded anew")

func panels() []chart.Panel {
	return []chart.Panel{
		{Title: "Fees stored", Unit: "rows a second", Groups: []chart.Group{
			{Title: "1 client", Bars: []chart.Bar{{"fee of daemongen", 1993.4, true}, {"the tutorial's PHP", 1990, false}}},
			{Title: "100 clients", Bars: []chart.Bar{{"fee of daemongen", 34657.2, true}, {"the tutorial's PHP", 2507, false}}},
		}},
		{Title: "E-mails < & >", Unit: "messages a second", Groups: []chart.Group{
			{Bars: []chart.Bar{{"edm of daemongen", 52640, true}, {"by hand", 1, false}}},
		}},
	}
}

func TestSVG(t *testing.T) {
	got := chart.SVG(panels())
	file := filepath.Join("testdata", "chart.svg")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as recorded in %s (go test -update records anew):\n%s", file, got)
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	decoder := xml.NewDecoder(bytes.NewReader(chart.SVG(panels())))
	var texts []string
	var inText bool
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.EndElement:
			inText = false
		case xml.CharData:
			if inText {
				texts = append(texts, string(token))
			}
		}
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"Fees stored, rows a second", "100 clients", "34,700", "E-mails < & >, messages a second"} {
		if !strings.Contains(all, want) {
			t.Errorf("no text %q in:\n%s", want, all)
		}
	}
}

func TestFigure(t *testing.T) {
	for value, want := range map[float64]string{1: "1", 206.6: "207", 999.6: "1,000", 1993.4: "1,990", 34657: "34,700", 99960: "100,000", 2162650: "2,160,000"} {
		if got := chart.Figure(value); got != want {
			t.Errorf("%v: %s, want %s", value, got, want)
		}
	}
}
