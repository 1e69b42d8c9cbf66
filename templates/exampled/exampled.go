// Package exampled is the work of the service: what is done with a message.
//
// This file and its test are yours. They need nothing but the standard library,
// and daemongen never touches them again.
package exampled

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Handler handles the messages. As it is, it stores each one as a row of the
// table exampled, and answers TRUE once the row is safe on the disk.
type Handler struct {
	db Database // nil: there is none, and every message is answered TRUE
}

// Database is what the handler uses of the database. The other methods with
// which *sql.DB reads and writes are there too: to make several statements one
// transaction, for instance, list
//
//	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
//
// and use it. Only Prepare is missing, since a reload may exchange the
// connections behind the Database: prepare within a transaction. Tables are made
// by the files in the folder migrations: for another one, add a file.
type Database interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)

	// Rebind writes the question marks in query as this database wants them.
	Rebind(query string) string

	// SkipDuplicates has an INSERT, which ends in its values, leave out the rows
	// whose unique key is there already.
	SkipDuplicates(insert string) string

	// Bytes is the parameter for a column that takes any bytes.
	Bytes(b []byte) any
}

// Settings are sections of your own in the configuration: one a field, with a key
// for each field of its struct. For a section [db] with the keys host and port,
// and with EXAMPLED_DB_HOST and EXAMPLED_DB_PORT in the environment, write
//
//	DB struct {
//		Host string `toml:"host"`
//		Port int    `toml:"port"`
//	} `toml:"db"`
//
// A key is a string, number, bool, time.Duration ("30s"), a list of them, or a
// type that reads itself by UnmarshalText, as config.Secret in internal/config does, for
// which KEY_file names a file with the secret. The tag reload:"restart" says that it
// can't change while the service runs. Paths are absolute, since the service
// runs in the folder /. To check the values, add a method
//
//	func (s *Settings) Validate(report func(key, reason string))
//
// that calls report("db.port", "must be at least 1") for each fault. A method
//
//	func (s *Settings) UseStateDir(dir string)
//
// is told, before New and Reload, the folder in which the service keeps what has to
// last.
type Settings struct{}

// DefaultSettings returns the values of the keys that a configuration leaves out.
func DefaultSettings() *Settings {
	return &Settings{}
}

// New returns the handler; db is nil in a service without a database. After an
// error the service does not start, and says why. What the handler logs with
// log/slog goes to the log of the service.
//
// A handler with the method
//
//	func (h *Handler) Reload(settings *Settings) error
//
// takes part in each reload of the configuration: it is called, while messages
// are handled, when all else is known to succeed, and has to return soon. After
// an error nothing has changed, for the handler either. Without the method a
// change of your sections needs a restart. A handler with the method
//
//	func (h *Handler) Close() error
//
// is told when the service ends, after the last message.
func New(db Database, settings *Settings) (*Handler, error) {
	return &Handler{db: db}, nil
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

// store adds a row for each message: all of them, or none. A message that has a
// key and was stored before, but whose sender did not hear of it, stays the one
// row that it is. One statement is one transaction, and it is committed when
// ExecContext returns. There is room for worker.batch rows in it: databases take
// at least 32766 question marks.
func (h *Handler) store(ctx context.Context, messages ...[]byte) error {
	if h.db == nil || len(messages) == 0 {
		return nil
	}
	columns, row := "body", "(?)"
	keys := messageKeys(ctx)
	if keys != nil {
		columns, row = "body, message_key", "(?, ?)"
	}
	insert := "INSERT INTO exampled (" + columns + ") VALUES " + row + strings.Repeat(", "+row, len(messages)-1)
	var args []any
	for i, message := range messages {
		args = append(args, h.db.Bytes(message))
		if keys != nil {
			args = append(args, keyOf(keys, i))
		}
	}
	if keys != nil {
		insert = h.db.SkipDuplicates(insert)
	}
	if _, err := h.db.ExecContext(ctx, h.db.Rebind(insert), args...); err != nil {
		return fmt.Errorf("store %d messages: %w", len(messages), err)
	}
	return nil
}

// messageKeys returns what the transport calls each message of a call, the same
// when it is delivered again, and "" where it has no name for one; nil where it has
// none for any of them.
func messageKeys(ctx context.Context) []string {
	keys, _ := ctx.Value(struct{ MessageKeys struct{} }{}).([]string)
	return keys
}

// keyOf returns the key of the i-th message; NULL if it has none.
func keyOf(keys []string, i int) sql.NullString {
	if i >= len(keys) {
		return sql.NullString{}
	}
	return sql.NullString{String: keys[i], Valid: keys[i] != ""}
}
