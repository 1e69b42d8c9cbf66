// What databases say in different words.

package database

import "strings"

// SkipDuplicates returns an INSERT that names its columns and ends in its values, as
// one that leaves out the rows whose unique key is taken, be it by a row that is there
// or by an earlier one of the same statement, and stores the others; these are what
// RowsAffected counts. Only that is forgiven: what does not fit or lacks a value is an
// error as ever.
func (db *DB) SkipDuplicates(insert string) string {
	return insert + db.current.Load().OnDuplicate(insert)
}

// DoNothing is what an INSERT ends in that leaves out duplicates, in the words that
// most databases have for it.
func DoNothing(string) string { return " ON CONFLICT DO NOTHING" }

// Bytes returns b as the parameter for a column that takes any bytes, so that
// they are stored as they are.
func (db *DB) Bytes(b []byte) any {
	if bytes := db.current.Load().Bytes; bytes != nil {
		return bytes(b)
	}
	return b
}

// Table returns the name of the service as that of a table, a database or a user:
// with an underscore for each hyphen.
func (e Env) Table() string { return strings.ReplaceAll(e.Name, "-", "_") }
