package generator

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/daemongen/daemongen/templates"
)

var benchSpec = Spec{Name: "feed", Transports: []string{"tcp"}, Database: "sqlite"}

// BenchmarkSteps tells where the time of daemongen new goes; the whole process is
// measured by BenchmarkNew of cmd/daemongen.
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
