package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkNew compares the whole process of daemongen new with the floor: a
// bare program that renders, formats, hashes and renames as many files of the
// same contents (testdata/floor). They run in pairs; the metrics are the median
// milliseconds of each, and the median ratio of a pair.
//
// The bars are 30 ms and 1.5.
func BenchmarkNew(b *testing.B) {
	dir := memoryFolder(b)
	program := build(b, filepath.Join(dir, "daemongen"), ".")
	floor := buildFloor(b, dir, program)

	var ours, theirs, ratios []float64
	for i := 0; b.Loop(); i++ {
		target := filepath.Join(dir, strconv.Itoa(i))
		one := milliseconds(b, program, "new", "feed", "--yes", "--dir", target+"-ours")
		other := milliseconds(b, floor, target+"-floor")
		ours, theirs, ratios = append(ours, one), append(theirs, other), append(ratios, one/other)
		for _, made := range []string{"-ours", "-floor"} {
			if err := os.RemoveAll(target + made); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(median(ours), "ms-new")
	b.ReportMetric(median(theirs), "ms-floor")
	b.ReportMetric(median(ratios), "ratio")
}

// memoryFolder is a folder in memory, where there is one: how long a disk takes
// for a hundred new files differs by a factor of five from one run to the next.
func memoryFolder(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "daemongen-bench-")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// build compiles the package in the folder to a program.
func build(b *testing.B, program, dir string) string {
	b.Helper()
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// buildFloor makes a module of the floor program and the files of a project, in
// which the name is a template's.
func buildFloor(b *testing.B, dir, program string) string {
	b.Helper()
	project, module := filepath.Join(dir, "project"), filepath.Join(dir, "floor")
	milliseconds(b, program, "new", "feed", "--yes", "--dir", project)
	err := filepath.WalkDir(project, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(project, path)
		if err != nil {
			return err
		}
		target := filepath.Join(module, "files", name)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil || name == "go.mod" { // a folder with a go.mod can't be embedded
			return err
		}
		data = bytes.ReplaceAll(data, []byte("{{"), []byte(`{{"{{"}}`))
		return os.WriteFile(target, bytes.ReplaceAll(data, []byte("feed"), []byte("{{.}}")), 0o644)
	})
	if err != nil {
		b.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join("testdata", "floor", "main.go"))
	if err != nil {
		b.Fatal(err)
	}
	for name, data := range map[string][]byte{"main.go": source, "go.mod": []byte("module floor\n\ngo 1.26.0\n")} {
		if err := os.WriteFile(filepath.Join(module, name), data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return build(b, filepath.Join(dir, "floor-program"), module)
}

// milliseconds runs a program and returns how long it took, from its start to
// its end.
func milliseconds(b *testing.B, program string, args ...string) float64 {
	b.Helper()
	begin := time.Now()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", program, err, out)
	}
	return float64(time.Since(begin).Microseconds()) / 1000
}

func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
