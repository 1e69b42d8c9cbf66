package generator

import (
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Diff returns the plan as a unified diff that git apply and patch -p1 take, ""
// if there is nothing to do.
func (p *Plan) Diff() string {
	var out strings.Builder
	for _, file := range p.Files {
		from, to := "a/"+file.Path, "b/"+file.Path
		if file.Before == nil {
			from = "/dev/null"
		}
		out.WriteString(udiff.Unified(from, to, string(file.Before), string(file.After)))
	}
	return out.String()
}
