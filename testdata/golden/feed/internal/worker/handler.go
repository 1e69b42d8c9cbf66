// What the pool calls: the user's handler, guarded against panics.

package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Handler does the work. It is called by several workers at once.
type Handler interface {
	// Handle does the work of one message and returns the reply to its sender.
	// It returns once the work is safe: the reply may be sent at once.
	//
	// After an error the message is handed over again, later. If it fails for
	// good, the sender gets the reply that came with the error, or FALSE
	// without one. An error, or one that it wraps, with a method Permanent()
	// bool that returns true says that no further attempt would help.
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
	HandleBatch(ctx context.Context, requests [][]byte) []Result
}

// alone makes one attempt with one message, and also tells whether its error
// says that no further one would help.
func (p *Pool) alone(request []byte, timeout time.Duration) (result Result, permanent bool) {
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	defer p.recovered(&result.Err)
	result.Reply, result.Err = p.handler.Handle(ctx, request)
	return result, isPermanent(result.Err)
}

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// together makes one attempt with several messages and returns as many results.
func (p *Pool) together(requests [][]byte, timeout time.Duration) []Result {
	results, err := p.batch(requests, timeout)
	if got := len(results); err == nil && got < len(requests) {
		err = fmt.Errorf("the handler returned %d results for %d messages", got, len(requests))
	}
	all := make([]Result, len(requests))
	for i := copy(all, results); i < len(all); i++ {
		all[i].Err = err
	}
	return all
}

func (p *Pool) batch(requests [][]byte, timeout time.Duration) (results []Result, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	defer p.recovered(&err)
	return p.batcher.HandleBatch(ctx, requests), nil
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
