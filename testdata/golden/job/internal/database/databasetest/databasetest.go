// Package databasetest is the test that every database passes: Run by all, and
// RunServer by those that are on a server.
package databasetest

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"example.com/job/internal/database"
)

// Place is a configuration and where it is to hold. The suite fills in the rest
// of Env.
type Place struct {
	Config   database.Config
	StateDir string
	Name     string // by which another process finds the place, see Main
}

// Run holds the database to what the service relies on. Fresh returns a place
// whose database is empty, another one at each call.
func Run(t *testing.T, fresh func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, place Place)
	}{
		{"Defaults", testDefaults},
		{"AnyBytes", testAnyBytes},
		{"LargeBody", testLargeBody},
		{"LargeBatch", testLargeBatch},
		{"Order", testOrder},
		{"Reopen", testReopen},
		{"OpenTwice", testOpenTwice},
		{"Rollback", testRollback},
		{"StatementIsATransaction", testStatementIsATransaction},
		{"EndedContext", testEndedContext},
		{"Concurrency", testConcurrency},
		{"Batches", testBatches},
		{"Keys", testKeys},
		{"KeysOfOneStatement", testKeysOfOneStatement},
		{"KeysHideNothingElse", testKeysHideNothingElse},
		{"Redelivery", testRedelivery},
		{"Classes", testClasses},
		{"Exchange", testExchange},
		{"ExchangeUnderLoad", testExchangeUnderLoad},
		{"MigrateAtOnce", testMigrateAtOnce},
		{"MigrateAgain", testMigrateAgain},
		{"MigrateTheService", testMigrateTheService},
		{"Close", testClose},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

// Unusable holds the database to an error that names what is wrong, at once.
func Unusable(t *testing.T, place Place, names string) {
	t.Helper()
	db, err := place.Config.Open(t.Context(), Env(place))
	if err == nil {
		_ = db.Close()
		t.Fatalf("a database that is unusable (%s) was opened", names)
	}
	if !strings.Contains(err.Error(), names) {
		t.Errorf("the error does not name %q: %v", names, err)
	}
}

// Env is what the suite opens a place with. The tables are its own, from the folder
// testdata of the package under test, whatever the service has.
func Env(place Place) database.Env {
	return database.Env{
		Name: "job", Log: slog.New(slog.DiscardHandler), StateDir: place.StateDir, Workers: 8,
		Migrations: os.DirFS("testdata"),
	}
}

// Open opens the database of a place, with its tables, for the length of the
// test.
func Open(t *testing.T, place Place) *database.DB {
	t.Helper()
	db, err := place.Config.Open(t.Context(), Env(place))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

const insert = "INSERT INTO messages (body) VALUES (?)"

func store(t *testing.T, db *database.DB, body []byte) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), db.Rebind(insert), db.Bytes(body)); err != nil {
		t.Fatal(err)
	}
}

// read returns all bodies in the order of their ids.
func read(t *testing.T, db *database.DB) (bodies [][]byte) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT body FROM messages ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var body []byte
		if err := rows.Scan(&body); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return bodies
}

// count returns the number of rows.
func count(t *testing.T, db *database.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM messages").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
