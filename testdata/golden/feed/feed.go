// Package feed is the work of the service: what is done with a message.
//
// This file and its test are yours. They need nothing but the standard library,
// and daemongen never touches them again.
package feed

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Handler handles the messages. As it is, it stores each one as a row of the
// table feed, and answers TRUE once the row is safe on the disk.
type Handler struct {
	db Database // nil: there is none, and every message is answered TRUE
}

// Database is what the handler uses of the database. Whatever else *sql.DB has
// is there too: to make several statements one transaction, for instance, list
//
//	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
//
// and use it. Tables are made in internal/database, by the file schema.sql.
type Database interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)

	// Rebind writes the question marks in query as this database wants them.
	Rebind(query string) string
}

// New returns the handler; db is nil in a service without a database.
func New(db Database) *Handler {
	return &Handler{db: db}
}

// Handle does the work of one message and returns the reply to its sender. It
// is called by several workers at once, and has to return when ctx ends: the
// time is up, or the service is.
//
// After an error the message is handed over again, a little later, up to
// worker.attempts times; then the error is logged and the sender told FALSE, or
// the reply that you return with the error. If no further attempt can help,
// return an error with a method Permanent() bool that says true.
//
// Any message is welcome here, an empty one too. One that you don't want is
// answered with
//
//	return []byte("FALSE"), nil
func (h *Handler) Handle(ctx context.Context, request []byte) ([]byte, error) {
	if err := h.store(ctx, request); err != nil {
		return nil, err
	}
	return []byte("TRUE"), nil
}

// Result is what became of one message of a batch.
type Result = struct {
	Reply []byte
	Err   error
}

// HandleBatch does the work of the messages that arrived while a worker was
// busy, and returns a result for each, in their order. To commit them together
// is many times faster than one by one. A message whose result has an error is
// handed to Handle, alone, so that it harms no other.
//
// It is an offer: without this method, all messages go to Handle.
func (h *Handler) HandleBatch(ctx context.Context, requests [][]byte) []Result {
	results := make([]Result, len(requests))
	err := h.store(ctx, requests...)
	for i := range results {
		if err != nil {
			results[i].Err = err
		} else {
			results[i].Reply = []byte("TRUE")
		}
	}
	return results
}

// store adds a row for each message: all of them, or none. One statement is one
// transaction, and it is committed when ExecContext returns. There is room for
// worker.batch rows in it: databases take at least 32766 question marks.
func (h *Handler) store(ctx context.Context, messages ...[]byte) error {
	if h.db == nil || len(messages) == 0 {
		return nil
	}
	query := "INSERT INTO feed (body) VALUES (?)" + strings.Repeat(", (?)", len(messages)-1)
	bodies := make([]any, len(messages))
	for i, message := range messages {
		bodies[i] = string(message)
	}
	if _, err := h.db.ExecContext(ctx, h.db.Rebind(query), bodies...); err != nil {
		return fmt.Errorf("store %d messages: %w", len(messages), err)
	}
	return nil
}
