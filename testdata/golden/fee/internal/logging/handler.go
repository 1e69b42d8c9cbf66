// The slog handler, which follows the log's level and format.

package logging

import (
	"context"
	"io"
	"log/slog"
)

// handler holds a handler of each format, with the same attributes and groups,
// so that loggers derived from it long ago change their format with the log.
type handler struct {
	log        *Log
	text, json slog.Handler
}

var _ slog.Handler = (*handler)(nil)

func (l *Log) newHandler(w io.Writer) *handler {
	options := &slog.HandlerOptions{Level: &l.level}
	return &handler{l, slog.NewTextHandler(w, options), slog.NewJSONHandler(w, options)}
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
	return &handler{h.log, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.log, h.text.WithGroup(name), h.json.WithGroup(name)}
}
