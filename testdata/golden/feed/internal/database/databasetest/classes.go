// What errors are worth.

package databasetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"example.com/feed/internal/database"
)

// testClasses provokes errors that every database has.
func testClasses(t *testing.T, place Place) {
	db := Open(t, place)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	with := func(ctx context.Context, query string, args ...any) func() error {
		return func() error {
			_, err := db.ExecContext(ctx, db.Rebind(query), args...)
			return err
		}
	}
	const both = "INSERT INTO messages (message_key, body) VALUES (?, ?), (?, ?)"
	x := db.Bytes([]byte("x"))
	for _, test := range []struct {
		name string
		make func() error
		want database.Class
	}{
		{"no body", with(t.Context(), insert, nil), database.Permanent},
		{"a key twice", with(t.Context(), both, "k", x, "k", x), database.Permanent},
		{"no table", with(t.Context(), "INSERT INTO no_such_table VALUES (1)"), database.Retry},
		{"not SQL", with(t.Context(), "STORE this"), database.Retry},
		{"ended context", with(ended, insert, x), database.Retry},
		{"no time left", with(late, insert, x), database.Retry},
	} {
		Class(t, db, test.name, test.make(), test.want)
	}
	wrapped := fmt.Errorf("store: %w", with(t.Context(), insert, nil)())
	Class(t, db, "wrapped", wrapped, database.Permanent)
	Class(t, db, "unknown", fmt.Errorf("unknown"), database.Retry)
}

// Class holds an error that was provoked to its class.
func Class(t *testing.T, db *database.DB, name string, err error, want database.Class) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", name)
	} else if got := db.Classify(err); got != want {
		t.Errorf("%s: is %v, want %v: %v", name, got, want, err)
	}
}

// Tells reports a secret that an error tells in any of its forms.
func Tells(t *testing.T, err error, secret string) {
	t.Helper()
	for _, form := range []string{"%v", "%+v", "%q", "%#v"} {
		if text := fmt.Sprintf(form, err); strings.Contains(text, secret) {
			t.Errorf("the error tells the secret: %s", text)
		}
	}
}
