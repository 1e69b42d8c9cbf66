package generator

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates"
)

var benchSpec = Spec{Name: "feed", Transports: []string{"tcp"}, Database: "sqlite"}

// newProject does all that daemongen new does within the process, from the
// embedded files on.
func newProject(b *testing.B, root string) {
	src, err := read(templates.Shipped())
	if err != nil {
		b.Fatal(err)
	}
	plan, err := src.plan(benchSpec.Normalize())
	if err != nil {
		b.Fatal(err)
	}
	plan.Root = root
	if err := plan.Verify(); err != nil {
		b.Fatal(err)
	}
	if err := plan.Apply(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// floor is the bare minimum for as many files: it replaces the word, formats
// what is Go, all processors at work, hashes, writes and renames.
func floor(b *testing.B, root string) {
	var names []string
	exemplar := templates.Shipped().Exemplar
	err := fs.WalkDir(exemplar, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && templates.Ships(name) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	files := make([][]byte, len(names))
	sums := make([][sha256.Size]byte, len(names))
	err = parallel(len(names), func(i int) error {
		data, err := fs.ReadFile(exemplar, names[i])
		if err != nil {
			return err
		}
		data = bytes.ReplaceAll(data, []byte(templates.ImportPath), []byte("example.com/feed"))
		data = bytes.ReplaceAll(data, []byte(templates.Word), []byte("feed"))
		if strings.HasSuffix(names[i], ".go") {
			if data, err = format.Source(data); err != nil {
				return err
			}
		}
		files[i], sums[i] = data, sha256.Sum256(data)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	stage := root + ".stage"
	for i, name := range names {
		name = filepath.Join(stage, strings.ReplaceAll(name, templates.Word, "feed"))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, files[i], 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(stage, ManifestName), fmt.Appendf(nil, "%x", sums), 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(stage, root); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkNew makes a project and the floor in turns, and gives the time of
// both and their ratio.
func BenchmarkNew(b *testing.B) {
	parent := b.TempDir()
	var project, bare time.Duration
	for n := 0; b.Loop(); n++ {
		start := time.Now()
		newProject(b, filepath.Join(parent, fmt.Sprint("new", n)))
		middle := time.Now()
		floor(b, filepath.Join(parent, fmt.Sprint("floor", n)))
		project, bare = project+middle.Sub(start), bare+time.Since(middle)
	}
	b.ReportMetric(float64(project.Microseconds())/1e3/float64(b.N), "ms/new")
	b.ReportMetric(float64(bare.Microseconds())/1e3/float64(b.N), "ms/floor")
	b.ReportMetric(float64(project)/float64(bare), "new/floor")
}

// BenchmarkSteps tells where the time goes.
func BenchmarkSteps(b *testing.B) {
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := read(templates.Shipped()); err != nil {
				b.Fatal(err)
			}
		}
	})
	src, err := read(templates.Shipped())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("plan", func(b *testing.B) {
		for b.Loop() {
			mustPlan(b, src, benchSpec)
		}
	})
	plan := mustPlan(b, src, benchSpec)
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			if err := plan.Verify(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("apply", func(b *testing.B) {
		parent := b.TempDir()
		for n := 0; b.Loop(); n++ {
			plan.Root = filepath.Join(parent, fmt.Sprint(n))
			if err := plan.Apply(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
