package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

// says is an error with an opinion on further attempts.
type says struct{ permanent, unavailable bool }

func (says) Error() string       { return "says" }
func (e says) Permanent() bool   { return e.permanent }
func (e says) Unavailable() bool { return e.unavailable }

func TestClassify(t *testing.T) {
	known := errors.New("known")
	classify := func(err error) Class {
		if errors.Is(err, known) {
			return Unavailable
		}
		return Permanent
	}
	tests := []struct {
		err            error
		alone, options Class // without and with Options.Classify
	}{
		{nil, Retry, Retry},
		{errors.New("x"), Retry, Permanent},
		{known, Retry, Unavailable},
		{permanent{}, Permanent, Permanent},
		{unavailable{}, Unavailable, Unavailable},
		{fmt.Errorf("row 7: %w", unavailable{}), Unavailable, Unavailable},
		{fmt.Errorf("%w: %w", unavailable{}, known), Unavailable, Unavailable},
		{errors.Join(permanent{}, known), Permanent, Permanent},
		{says{true, true}, Permanent, Permanent},
		{errors.Join(says{}, known), Retry, Unavailable}, // it does not say no
	}
	for _, tt := range tests {
		for _, with := range []bool{false, true} {
			p, want := &Pool{}, tt.alone
			if with {
				p.options.Classify, want = classify, tt.options
			}
			if got := p.classify(tt.err); got != want {
				t.Errorf("%v, with Classify %v: class %d, want %d", tt.err, with, got, want)
			}
		}
	}
}

// A panic of Classify is like one of the handler: a failed attempt, also for a
// message of a batch, and of no consequence for the others.
func TestClassifyPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := func(_ context.Context, request []byte) ([]byte, error) {
			if string(request) == "bad" {
				return nil, errors.New("no")
			}
			return []byte("TRUE"), nil
		}
		stored := 0
		p := startWith(t, Options{Classify: func(error) Class { panic("no class") }},
			both{work, func(ctx context.Context, requests [][]byte) []Result {
				results := make([]Result, len(requests))
				for i, request := range requests {
					results[i].Reply, results[i].Err = work(ctx, request)
					stored++
				}
				return results
			}}, func(s *Settings) { s.Attempts = 2 })
		defer p.Close()
		ms := messages("a", "bad", "b")
		submit(t, p, ms...)
		expect(t, "TRUE", ms[0], ms[2])
		expect(t, "FALSE: panic: no class", ms[1])
		if stored != 3 {
			t.Errorf("the batch handled %d messages, want 3", stored)
		}
	})
}
