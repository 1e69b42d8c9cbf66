//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// length of a measurement of one of two rates.
const length = 2 * time.Second

// BenchmarkStore stores the lines of clients over TCP, each answered when it is
// safe, in each database as it is by default: what daemongen writes, and a pool
// of 16 workers written by hand with a transaction for each message, or a statement
// that is one by itself (testdata/byhand).
//
// The bars are a ratio of 4 with 64 clients, and of 0.95 with one, to a transaction for
// each message. A statement alone is the faster rival, which only a handler that has
// no more to do than that can use; beside it the ratios are 5.8, 2.6 to 3.3 and 3.5 to
// 3.9 with 64 clients, and 0.87 to 0.98 with one.
func BenchmarkStore(b *testing.B) {
	for _, kind := range []string{"sqlite", "mysql", "postgres"} {
		for _, n := range []int{1, 64} {
			for _, way := range []string{"transaction", "statement"} {
				b.Run(fmt.Sprintf("%s/clients=%d/by-hand=%s", kind, n, way), func(b *testing.B) { benchmarkStore(b, kind, n, way) })
			}
		}
	}
}

func benchmarkStore(b *testing.B, kind string, n int, way string) {
	source, env := place(b, kind)
	ours := connect(b, startProject(b, []string{"--database", kind}, env...), n)
	theirs := connect(b, startByHand(b, "byhand", kind, source, way), n)
	ours.rate(b, length/4) // to warm up
	theirs.rate(b, length/4)
	inTurn(b,
		func() float64 { return ours.rate(b, length) },
		func() float64 { return theirs.rate(b, length) })
}

// place is where both store, side by side: what the program by hand takes, and
// the variables of the project. Both find no table of an earlier run.
func place(b *testing.B, kind string) (source string, env []string) {
	b.Helper()
	switch kind {
	case "mysql":
		source = server(b, "TEST_MYSQL_DSN")
		return source, []string{"FEED_DATABASE_MYSQL_DSN=" + source}
	case "postgres":
		source = server(b, "TEST_POSTGRES_URL")
		return source, []string{"FEED_DATABASE_POSTGRES_DSN=" + source}
	}
	// Written ahead and synchronized as the project's own.
	return "file:" + filepath.Join(folder(b), "byhand.db") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=5000", nil
}

// server returns the address of a server of its own, which make bench starts.
func server(b *testing.B, variable string) string {
	b.Helper()
	source := os.Getenv(variable)
	if source == "" {
		b.Skipf("LEFT OUT: %s names no server; make bench starts one", variable)
	}
	return source
}
