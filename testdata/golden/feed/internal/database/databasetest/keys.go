// Message keys: what is delivered again is stored once.

package databasetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"example.com/feed/internal/database"
)

// inserting returns an INSERT of rows with a key and a body.
func inserting(rows int, skipDuplicates func(string) string) string {
	return skipDuplicates("INSERT INTO messages (message_key, body) VALUES (?, ?)" + strings.Repeat(", (?, ?)", rows-1))
}

// storeWithKeys stores a row for each key; "" is NULL. The body is the key and
// what follows it.
func storeWithKeys(t *testing.T, db *database.DB, after string, keys ...string) error {
	t.Helper()
	var args []any
	for _, key := range keys {
		var value any
		if key != "" {
			value = key
		}
		args = append(args, value, db.Bytes([]byte(key+after)))
	}
	_, err := db.ExecContext(t.Context(), db.Rebind(inserting(len(keys), db.SkipDuplicates)), args...)
	return err
}

// testKeys: a row whose key is there is left out, and the others are stored.
// Keys are equal if all their bytes are, and those without one are no duplicates.
func testKeys(t *testing.T, place Place) {
	db := Open(t, place)
	first := []string{"a", "A", "a ", "", "ä", "a\u0308", "", strings.Repeat("k", 255)}
	if err := storeWithKeys(t, db, " first", first...); err != nil {
		t.Fatal(err)
	}
	if err := storeWithKeys(t, db, " again", "b", "a", "", "ä", "c"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, key := range first {
		want = append(want, key+" first")
	}
	want = append(want, "b again", " again", "c again")
	if got := texts(read(t, db)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// testKeysOfOneStatement: of two rows with one key, the first is stored, and only it
// counts.
func testKeysOfOneStatement(t *testing.T, place Place) {
	db := Open(t, place)
	var args []any
	for _, key := range []string{"a", "b", "a", "c", "b"} {
		args = append(args, key, db.Bytes([]byte(key)))
	}
	for _, want := range []int64{3, 0} {
		result, err := db.ExecContext(t.Context(), db.Rebind(inserting(len(args)/2, db.SkipDuplicates)), args...)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := result.RowsAffected(); n != want || err != nil {
			t.Errorf("%d rows are affected, %v, want %d", n, err, want)
		}
	}
	if got, want := texts(read(t, db)), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// testKeysHideNothingElse: only duplicates are forgiven.
func testKeysHideNothingElse(t *testing.T, place Place) {
	db := Open(t, place)
	_, err := db.ExecContext(t.Context(), db.Rebind(inserting(2, db.SkipDuplicates)), "a", db.Bytes([]byte("x")), "b", nil)
	if err == nil || db.Classify(err) != database.Permanent {
		t.Errorf("a row without a body: %v", err)
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// testRedelivery: batches with the same keys, at once and in any order, end up as
// one row for each key. A deadlock is worth a retry, as the pool makes one.
func testRedelivery(t *testing.T, place Place) {
	const keys = 40
	db := Open(t, place)
	var workers sync.WaitGroup
	for worker := range Env(place).Workers {
		workers.Go(func() {
			var mine []string
			for i := range keys {
				mine = append(mine, fmt.Sprint("key ", (i*7+worker*11)%keys))
			}
			err := storeWithKeys(t, db, "", mine...)
			for attempt := 1; err != nil && attempt < 100; attempt++ {
				if class := db.Classify(err); class != database.Retry {
					t.Errorf("%v: %v", class, err)
					return
				}
				err = storeWithKeys(t, db, "", mine...)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
	if n := count(t, db); n != keys {
		t.Errorf("%d rows, want %d", n, keys)
	}
}

func texts(bodies [][]byte) (list []string) {
	for _, body := range bodies {
		list = append(list, string(body))
	}
	return list
}
