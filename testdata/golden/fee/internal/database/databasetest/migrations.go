// Migrations, by one process and by many.

package databasetest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"example.com/fee/internal/database"
)

// placeVariable has a process of the test do nothing but migrate the place that
// it names.
const placeVariable = "DATABASETEST_MIGRATE"

// testMigrateAtOnce: of ten processes that begin together, each goes on when all
// migrations are applied, and each of these was applied once.
func testMigrateAtOnce(t *testing.T, place Place) {
	const processes = 10
	var all []*exec.Cmd
	var outputs [processes]bytes.Buffer
	connected, begin := newPipe(t), newPipe(t)
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), placeVariable+"="+place.Name)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = begin.read, &outputs[i], &outputs[i]
		cmd.ExtraFiles = []*os.File{connected.write}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	_ = connected.write.Close() // theirs are left
	if _, err := io.ReadFull(connected.read, make([]byte, processes)); err != nil {
		t.Errorf("not all have connected: %v", err)
	}
	_ = begin.write.Close()
	var applied []string
	for i, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, &outputs[i])
		}
		applied = append(applied, strings.Fields(outputs[i].String())...)
	}
	slices.Sort(applied)
	if len(applied) == 0 || len(slices.Compact(slices.Clone(applied))) != len(applied) {
		t.Errorf("applied %q", applied)
	}
	store(t, Open(t, place), []byte("x"))
}

// pipe is closed with the test.
type pipe struct{ read, write *os.File }

func newPipe(t *testing.T) pipe {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = read.Close()
		_ = write.Close()
	})
	return pipe{read, write}
}

// migrateOnly is the work of such a process: it says that it has connected, waits
// for the end of its input, migrates, and says what it has applied.
func migrateOnly(place Place) error {
	ctx := context.Background()
	db, err := place.Config.Open(ctx, Env(place))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	connected := os.NewFile(3, "connected") // the first of ExtraFiles
	if _, err := connected.WriteString("x"); err != nil {
		return err
	}
	if err := connected.Close(); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	applied, err := db.Migrate(ctx)
	for _, name := range applied {
		_, _ = os.Stdout.WriteString(name + "\n")
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "SELECT message_key, body FROM messages")
	}
	return err
}

// testMigrateAgain: what was applied is not applied again.
func testMigrateAgain(t *testing.T, place Place) { migrateTwice(t, place, Env(place)) }

// testMigrateTheService: the migrations of the service itself make its tables in an
// empty database, once.
func testMigrateTheService(t *testing.T, place Place) {
	env := Env(place)
	env.Migrations = nil
	migrateTwice(t, place, env)
}

func migrateTwice(t *testing.T, place Place, env database.Env) {
	t.Helper()
	db, err := place.Config.Open(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	applied, err := db.Migrate(t.Context())
	if err != nil || len(applied) == 0 || !slices.IsSorted(applied) {
		t.Errorf("applied %q, %v", applied, err)
	}
	if applied, err = db.Migrate(t.Context()); err != nil || len(applied) != 0 {
		t.Errorf("applied %q again, %v", applied, err)
	}
}

// Migrations holds what applies migrations, of any files, to what it has to do.
// The database is one that has none yet.
func Migrations(t *testing.T, up func(ctx context.Context, log *slog.Logger, files fs.FS) ([]string, error)) {
	file := func(statements string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("-- +goose Up\n" + statements)}
	}
	one, three := file("CREATE TABLE one (a INT);"), file("CREATE TABLE three (a INT);")
	broken := file("-- a comment\nINSERT INTO nowhere\n    VALUES (1);\nCREATE TABLE two (a INT);")
	run := func(name string, files fstest.MapFS, want ...string) (log string, err error) {
		t.Helper()
		var said bytes.Buffer
		applied, err := up(t.Context(), slog.New(slog.NewTextHandler(&said, nil)), files)
		if !slices.Equal(applied, want) {
			t.Errorf("%s: applied %q, want %q", name, applied, want)
		}
		return said.String(), err
	}

	_, err := run("broken", fstest.MapFS{"00001_one.sql": one, "00002_two.sql": broken, "00003_three.sql": three}, "00001_one.sql")
	if err == nil {
		t.Fatal("no error for a migration that fails")
	}
	for _, part := range []string{"00002_two.sql", "INSERT INTO nowhere VALUES (1);"} {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error does not have %q in one line: %v", part, err)
		}
	}
	mended := fstest.MapFS{"00001_one.sql": one, "00002_two.sql": file("CREATE TABLE two (a INT);"), "00003_three.sql": three}
	if _, err := run("mended", mended, "00002_two.sql", "00003_three.sql"); err != nil {
		t.Error(err)
	}
	if log, err := run("older program", fstest.MapFS{"00001_one.sql": one}); err != nil || !strings.Contains(log, "level=WARN") {
		t.Errorf("with a database of a newer program: %v, log: %s", err, log)
	}
	if log, err := run("same program", mended); err != nil || strings.Contains(log, "level=WARN") {
		t.Errorf("with nothing to do: %v, log: %s", err, log)
	}
	late := fstest.MapFS{"00001_one.sql": one, "00003_three.sql": three, "00004_four.sql": file("CREATE TABLE four (a INT);"), "00005_not.sql": {Data: []byte("no annotation")}}
	if _, err := run("unreadable", late); err == nil || !strings.Contains(err.Error(), "00005_not.sql") {
		t.Errorf("with a file that is not one of migrations: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := up(ended, slog.New(slog.DiscardHandler), mended); err == nil {
		t.Error("no error with an ended context")
	}
}

// migrateAndExit is all that a process does which only migrates.
func migrateAndExit(find func(name string) Place) {
	name, ok := os.LookupEnv(placeVariable)
	if !ok {
		return
	}
	if err := migrateOnly(find(name)); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}
