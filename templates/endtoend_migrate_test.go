package templates_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
)

// A table from before there were migrations, or before messages had keys, keeps its
// rows.
func TestMigrateOldTable(t *testing.T) {
	s := newService(t)
	if err := os.Mkdir(filepath.Dir(s.databaseFile), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(s.databaseFile), 0o777); err != nil { // the service is another user
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+s.databaseFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE TABLE exampled (id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT NOT NULL DEFAULT 'then', body TEXT NOT NULL)",
		"INSERT INTO exampled (body) VALUES ('old')",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.databaseFile, 0o666); err != nil {
		t.Fatal(err)
	}
	s.want(0, "", "migrate")
	var body string
	if db, err = sql.Open("sqlite", "file:"+s.databaseFile); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "SELECT body FROM exampled WHERE message_key IS NULL").Scan(&body); err != nil || body != "old" {
		t.Errorf("read %q, %v", body, err)
	}
}
