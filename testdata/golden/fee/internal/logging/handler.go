// The slog handler, which follows the log's level and format.

package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
)

// handler holds a handler of each format, with the same attributes and groups,
// so that loggers derived from it long ago change their format with the log.
type handler struct {
	log        *Log
	text, json slog.Handler
	to         func(w io.Writer) *handler // the same that writes to w
}

var _ slog.Handler = (*handler)(nil)

func (l *Log) newHandler(w io.Writer) *handler {
	options := &slog.HandlerOptions{Level: &l.level}
	return &handler{l, slog.NewTextHandler(w, options), slog.NewJSONHandler(w, options), l.newHandler}
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	// Not in the output, which is called with locks of slog held.
	h.log.roll()
	return h.write(ctx, record)
}

func (h *handler) write(ctx context.Context, record slog.Record) error {
	if h.log.json.Load() {
		return h.json.Handle(ctx, record)
	}
	return h.text.Handle(ctx, record)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(of slog.Handler) slog.Handler { return of.WithAttrs(attrs) })
}

func (h *handler) WithGroup(name string) slog.Handler {
	return h.with(func(of slog.Handler) slog.Handler { return of.WithGroup(name) })
}

// with returns the handler with both formats changed.
func (h *handler) with(change func(slog.Handler) slog.Handler) *handler {
	return &handler{h.log, change(h.text), change(h.json), func(w io.Writer) *handler { return h.to(w).with(change) }}
}

// Together returns a handler whose lines wait for flush, which writes them all at once:
// what is logged of each message of a batch costs a system call otherwise. Until then
// they are nowhere, so flush is called before anybody hears that the work is done. Both
// are for one goroutine, and the handler is of no more use then.
//
// It is a method of the handler of [slog.Default], for those who do not import this
// package.
func (h *handler) Together() (together slog.Handler, flush func()) {
	lines := buffers.Get().(*bytes.Buffer)
	return h.to(lines), func() {
		if lines.Len() > 0 {
			h.log.output.writeLines(lines.Bytes())
		}
		if lines.Cap() <= maxBuffer {
			lines.Reset()
			buffers.Put(lines)
		}
	}
}

// maxBuffer is how large a buffer is kept.
const maxBuffer = 1 << 20

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
