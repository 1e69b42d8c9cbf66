package feed

import (
	"context"
	"database/sql"
	"errors"
	"reflect"
	"testing"
)

// Without a database every message is answered TRUE. That messages are stored
// before they are answered is tested with the whole service, in cmd.
func TestHandle(t *testing.T) {
	handler := newHandler(t)
	for _, request := range []string{"hello", "", "0", "\x00\xff"} {
		reply, err := handler.Handle(t.Context(), []byte(request))
		if string(reply) != "TRUE" || err != nil {
			t.Errorf("Handle(%q) = %q, %v, want TRUE", request, reply, err)
		}
	}
}

func TestHandleBatch(t *testing.T) {
	requests := [][]byte{[]byte("one"), []byte("two"), {}}
	results := newHandler(t).HandleBatch(t.Context(), requests)
	if len(results) != len(requests) {
		t.Fatalf("%d results for %d messages", len(results), len(requests))
	}
	for i, result := range results {
		if string(result.Reply) != "TRUE" || result.Err != nil {
			t.Errorf("result %d is %q, %v, want TRUE", i, result.Reply, result.Err)
		}
	}
}

// A message is stored under the key that the transport has for it, and under none
// where it has none.
func TestStore(t *testing.T) {
	key := func(s string) sql.NullString { return sql.NullString{String: s, Valid: true} }
	none := sql.NullString{}
	one, two := [][]byte{[]byte("a")}, [][]byte{[]byte("a"), {}}
	for _, tt := range []struct {
		keys     []string // nil: the transport knows of none
		requests [][]byte
		query    string
		args     []any
	}{
		{nil, one, "(body) VALUES (?)", []any{"a"}},
		{nil, two, "(body) VALUES (?), (?)", []any{"a", ""}},
		{[]string{"k"}, one, "(body, message_key) VALUES (?, ?) once", []any{"a", key("k")}},
		{[]string{"k", ""}, two, "(body, message_key) VALUES (?, ?), (?, ?) once", []any{"a", key("k"), "", none}},
		{[]string{"k"}, two, "(body, message_key) VALUES (?, ?), (?, ?) once", []any{"a", key("k"), "", none}},
	} {
		db := &fakeDatabase{}
		handler, err := New(db, DefaultSettings())
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.WithValue(t.Context(), struct{ MessageKeys struct{} }{}, tt.keys)
		for i, result := range handler.HandleBatch(ctx, tt.requests) {
			if string(result.Reply) != "TRUE" || result.Err != nil {
				t.Errorf("result %d is %q, %v", i, result.Reply, result.Err)
			}
		}
		if want := "INSERT INTO feed " + tt.query; db.query != want || !reflect.DeepEqual(db.args, tt.args) {
			t.Errorf("keys %q: %s with %v, want %s with %v", tt.keys, db.query, db.args, want, tt.args)
		}
	}
}

// What is not stored is not answered.
func TestStoreFails(t *testing.T) {
	cause := errors.New("no room")
	handler, err := New(&fakeDatabase{err: cause}, DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := handler.Handle(t.Context(), []byte("x")); reply != nil || !errors.Is(err, cause) {
		t.Errorf("Handle = %q, %v", reply, err)
	}
	for i, result := range handler.HandleBatch(t.Context(), [][]byte{{}, {}}) {
		if result.Reply != nil || !errors.Is(result.Err, cause) {
			t.Errorf("result %d is %q, %v", i, result.Reply, result.Err)
		}
	}
}

// fakeDatabase remembers the last statement, and has a dialect that shows.
type fakeDatabase struct {
	query string
	args  []any
	err   error
}

func (db *fakeDatabase) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	db.query, db.args = query, args
	return nil, db.err
}

func (db *fakeDatabase) Rebind(query string) string          { return query }
func (db *fakeDatabase) SkipDuplicates(insert string) string { return insert + " once" }
func (db *fakeDatabase) Bytes(b []byte) any                  { return string(b) }

func newHandler(t *testing.T) *Handler {
	t.Helper()
	handler, err := New(nil, DefaultSettings())
	if err != nil {
		t.Fatal(err)
	}
	return handler
}
