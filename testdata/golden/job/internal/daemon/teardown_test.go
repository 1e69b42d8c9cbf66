package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// Pitfall 34: a step that hangs, fails or panics is named, and the others have
// their turn, the last made first.
func TestTeardown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var mu sync.Mutex // a step that was given up is never waited for
		var order []string
		note := func(name string) { mu.Lock(); defer mu.Unlock(); order = append(order, name) }
		hang := make(chan struct{})
		var all teardown
		all.push("first", func() error { note("first"); return nil })
		all.push("failing", func() error { note("failing"); return errors.New("no luck") })
		all.push("panicking", func() error { note("panicking"); panic("out of luck") })
		all.push("hanging", func() error { note("hanging"); <-hang; return nil })
		all.push("last", func() error { note("last"); return nil })
		all.run(slog.New(slog.NewTextHandler(&log, nil)))
		close(hang)

		mu.Lock()
		defer mu.Unlock()
		if want := []string{"last", "hanging", "panicking", "failing", "first"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
		for _, text := range []string{"step=failing error=\"no luck\"", "step=panicking error=\"panic: out of luck\"", "step=hanging"} {
			if !strings.Contains(log.String(), text) {
				t.Errorf("the log does not say %s:\n%s", text, log.String())
			}
		}
		if len(all.steps) != 0 {
			t.Error("the steps would run again")
		}
	})
}
