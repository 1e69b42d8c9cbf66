//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daemongen/daemongen/bench/chart"
)

// contestant is one of several that are measured in turn.
type contestant struct {
	name    string
	prepare func()         // what comes before it is measured
	rate    func() float64 // of messages a second
}

// contest measures all of them a round, so many rounds, the one that begins changing
// with each, and reports the median of each and of the ratios of the first, which is
// ours, to each of the others in the same round. It returns the medians of the rates, in
// the order of the contestants.
//
// It also reports how many of them began while the machine had something else to do: with
// more than a few, the figures say little.
func contest(b *testing.B, rounds int, all []contestant) (medians []float64) {
	b.Helper()
	rates := make([][]float64, len(all))
	busy := 0.0
	for b.Loop() {
		for round := range rounds {
			for turn := range all {
				i := (round + turn) % len(all)
				all[i].prepare()
				if !calm(b) {
					busy++
				}
				rates[i] = append(rates[i], all[i].rate())
			}
		}
	}
	b.ReportMetric(busy, "busy-starts")
	for i, one := range all {
		medians = append(medians, median(rates[i]))
		if i == 0 {
			b.ReportMetric(medians[0], "msg/s")
			continue
		}
		var ratios []float64
		for round, rate := range rates[i] {
			ratios = append(ratios, rates[0][round]/rate)
		}
		b.ReportMetric(medians[i], one.name+"-msg/s")
		b.ReportMetric(median(ratios), "ratio-"+one.name)
		b.ReportMetric(slices.Min(ratios), "ratio-min-"+one.name)
	}
	b.ReportMetric(0, "ns/op") // all together say nothing
	return medians
}

// calm waits until the processors are nearly idle, for 3 s at most, and reports whether
// they are. What was measured before, and its server, may have work to finish.
func calm(b *testing.B) bool {
	b.Helper()
	for range 15 {
		before := processors(b)
		time.Sleep(200 * time.Millisecond)
		after := processors(b)
		if float64(after.idle-before.idle) > 0.9*float64(after.all-before.all) {
			return true
		}
	}
	return false
}

// processorTime is what all processors have spent since the start, in ticks.
type processorTime struct{ idle, all int }

// processors reads the first line of /proc/stat: "cpu", and then the times as user, in
// low priority, in the system, idle, waiting for a disk, and others.
func processors(b *testing.B) (spent processorTime) {
	b.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	for i, field := range fields[1:min(9, len(fields))] { // guests, behind these, are in user
		ticks, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		spent.all += ticks
		if i == 3 || i == 4 {
			spent.idle += ticks
		}
	}
	return spent
}

// charted are the groups of bars that were measured, by the names of benchmarks and
// of groups.
var charted = make(map[string]map[string][]chart.Bar)

// draw has these medians of a contest in the chart. The titles are of the bars.
func draw(benchmark, group string, titles []string, medians []float64) {
	var bars []chart.Bar
	for i, value := range medians {
		bars = append(bars, chart.Bar{Title: titles[i], Value: value, Ours: i == 0})
	}
	if charted[benchmark] == nil {
		charted[benchmark] = make(map[string][]chart.Bar)
	}
	charted[benchmark][group] = bars
}

// TestMain writes the chart to the file that BENCH_CHART names, once all that is in
// it has been measured; a part of it is no chart, and leaves the file as it is.
func TestMain(m *testing.M) {
	code := m.Run()
	if file := os.Getenv("BENCH_CHART"); file != "" && code == 0 {
		if err := writeChart(file); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func writeChart(file string) error {
	panels := []chart.Panel{
		{Title: "Fees stored and answered", Unit: "rows a second"},
		{Title: "E-mails taken from a queue and logged", Unit: "messages a second"},
	}
	for _, n := range feeClients {
		panels[0].Groups = append(panels[0].Groups, chart.Group{Title: clientsTitle(n), Bars: charted["fee"][clientsTitle(n)]})
	}
	panels[1].Groups = []chart.Group{{Bars: charted["edm"][""]}}
	for _, panel := range panels {
		for _, group := range panel.Groups {
			if group.Bars == nil {
				return fmt.Errorf("no chart is written: %q was not measured for %q; run the benchmarks Fee and EDM together", group.Title, panel.Title)
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, chart.SVG(panels), 0o644)
}
