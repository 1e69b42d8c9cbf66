package main

// Signals and what they become: the end of a context, and an exit code.

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interrupted is the error of a command that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (e *interrupted) Error() string { return "interrupted" }

// code is the exit code that a shell expects of a program ended by the signal.
func (e *interrupted) code() int { return 128 + int(e.signal) }

// untilSignal returns a context that the first SIGINT or SIGTERM ends, with an
// [interrupted] as its cause; the second one ends the process at once. A signal
// that the caller ignores, as a shell does for its background jobs, stays
// ignored. The function returned gives the signals back.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(&interrupted{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
