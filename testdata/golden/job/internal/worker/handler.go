// What the pool calls: the user's handler, guarded against panics.

package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// Handler does the work. It is called by several workers at once.
type Handler interface {
	// Handle does the work of one message and returns the reply to its sender.
	// It returns once the work is safe: the reply may be sent at once.
	//
	// After an error the message is handed over again, later; see Class for what
	// an error can say about that. If it fails for good, the sender gets the
	// reply that came with the error, or FALSE without one.
	//
	// The request is never nil, and neither written to nor kept: it belongs to
	// the transport again as soon as Handle returns. The context ends when the
	// attempt takes longer than worker.timeout and when the service stops for
	// good; a handler that ignores it keeps its worker busy until it returns.
	Handle(ctx context.Context, request []byte) (reply []byte, err error)
}

// Result is what became of one message of a batch. It is an alias of a type
// without a name on purpose: the handler's package declares the same alias,
// and so is a BatchHandler without importing this package.
type Result = struct {
	Reply []byte
	Err   error
}

// BatchHandler is a Handler that is faster with several messages at once, such
// as one that commits them to a database together.
type BatchHandler interface {
	Handler

	// HandleBatch does the work of two or more messages, worker.batch at most,
	// and returns a result for each, in the same order. A missing result is an
	// error. The rules of Handle hold for each request; the slice itself
	// is not to be kept either.
	//
	// A message whose result has an error, permanent or not, goes to Handle
	// next, alone: it may have failed because of another message of its batch.
	// If something is unavailable it comes again as part of a batch, later.
	HandleBatch(ctx context.Context, requests [][]byte) []Result
}

// MessageKeys is the key under which the context of an attempt holds what tells
// its messages from all others:
//
//	keys, _ := ctx.Value(MessageKeys{}).([]string)
//
// There is one for each message, in their order, and "" for one that has none; a
// nil slice if none has. A message that is delivered again comes with the same
// key, so that a handler can store it once. A key begins with the name of the
// transport, and is text of at most 255 bytes, so that any database takes it. Like
// Result it is an alias of a type without a name, which the handler's package can
// declare as well.
type MessageKeys = struct{ MessageKeys struct{} }

// errGoexit is the error of an attempt that never returned, and did not panic
// either.
var errGoexit = errors.New("the handler ended its goroutine")

// alone makes one attempt with the one job of w.
func (p *Pool) alone(w *worker) (result Result, class Class) {
	ctx, end := p.begin(w)
	defer end()
	defer p.recovered(&result.Err)
	result.Reply, result.Err = p.handler.Handle(ctx, w.requests[0])
	return result, p.classify(result.Err)
}

// together makes one attempt with all jobs of w. It returns as many results, which
// are those of w, and the classes of those with an error; nil if there is none.
func (p *Pool) together(w *worker) (all []Result, classes []Class) {
	results, err := p.batch(w)
	if got, want := len(results), len(w.jobs); err == nil && got < want {
		err = fmt.Errorf("the handler returned %d results for %d messages", got, want)
	}
	w.results = slices.Grow(w.results[:0], len(w.jobs))[:len(w.jobs)]
	all = w.results
	for i := copy(all, results); i < len(all); i++ {
		all[i] = Result{Err: err}
	}
	for i := range all {
		if all[i].Err == nil {
			continue
		}
		if classes == nil {
			classes = make([]Class, len(all))
		}
		classes[i] = p.weigh(&all[i].Err)
	}
	return all, classes
}

func (p *Pool) batch(w *worker) (results []Result, err error) {
	ctx, end := p.begin(w)
	defer end()
	defer p.recovered(&err)
	return p.batcher.HandleBatch(ctx, w.requests), nil
}

// begin returns the context of an attempt, and what ends it.
func (p *Pool) begin(w *worker) (ctx context.Context, end context.CancelFunc) {
	ctx = p.ctx
	if w.keys != nil {
		ctx = context.WithValue(ctx, MessageKeys{}, w.keys)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(w.settings.Timeout))
	if w.attempt == nil {
		return ctx, cancel
	}
	p.noted(w.attempt.begin())
	return ctx, func() {
		cancel()
		p.noted(w.attempt.end())
	}
}

// recovered, when deferred, turns a panic into an error.
func (p *Pool) recovered(err *error) {
	value := recover()
	if value == nil {
		return
	}
	p.log.Error("the handler panicked", "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
	*err = fmt.Errorf("panic: %v", value)
	p.mu.Lock()
	p.stats.Panics++
	p.mu.Unlock()
}
