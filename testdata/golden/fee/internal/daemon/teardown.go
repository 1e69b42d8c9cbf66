package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// teardown is what has to be undone when the service ends: named steps, each
// registered the moment there is something to undo, run in reverse order.
type teardown struct{ steps []step }

type step struct {
	name string
	undo func() error
}

// stepLimit is the time for one step. Waiting for work is over by then: what a
// step does takes no time, unless it hangs.
const stepLimit = 2 * time.Second

func (t *teardown) push(name string, undo func() error) {
	t.steps = append(t.steps, step{name, undo})
}

// run undoes everything, once. A step that fails, panics or hangs is named in
// the log, and never keeps the others from their turn.
func (t *teardown) run(log *slog.Logger) {
	for _, step := range slices.Backward(t.steps) {
		if err := step.run(); err != nil {
			log.Error("ending failed", "step", step.name, "error", err)
		}
	}
	t.steps = nil
}

func (s step) run() error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- fmt.Errorf("panic: %v", cause)
			}
		}()
		done <- s.undo()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(stepLimit):
		return errors.New("it hangs and was given up")
	}
}
