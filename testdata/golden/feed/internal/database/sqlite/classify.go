// What the errors of SQLite mean.

package sqlite

import (
	"errors"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"example.com/feed/internal/database"
)

// classes has the primary result codes that are worth no retry as it is. Of the
// others, SQLITE_BUSY and SQLITE_LOCKED are what a retry is for.
var classes = map[int]database.Class{
	codes.SQLITE_CONSTRAINT: database.Permanent,
	codes.SQLITE_TOOBIG:     database.Permanent,
	codes.SQLITE_MISMATCH:   database.Permanent,

	codes.SQLITE_FULL:     database.Unavailable,
	codes.SQLITE_IOERR:    database.Unavailable,
	codes.SQLITE_CANTOPEN: database.Unavailable,
	codes.SQLITE_READONLY: database.Unavailable,
	codes.SQLITE_CORRUPT:  database.Unavailable,
	codes.SQLITE_NOTADB:   database.Unavailable,
}

func classify(err error) database.Class {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return classes[e.Code()&0xff] // what is above says more about it
	}
	return database.Retry
}
