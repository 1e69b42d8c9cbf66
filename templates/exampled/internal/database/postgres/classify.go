// What the errors of PostgreSQL mean.

package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daemongen/daemongen/templates/exampled/internal/database"
)

// states has the beginnings of SQLSTATE that are worth no retry as it is. Of the
// others, 40001 (serialization failure), 40P01 (deadlock) and 55P03 (lock not
// available) are what a retry is for.
var states = []struct {
	prefix string
	class  database.Class
}{
	{"22", database.Permanent},      // data exception
	{"23", database.Permanent},      // integrity constraint violation
	{"54", database.Permanent},      // program limit exceeded
	{"08", database.Unavailable},    // connection exception
	{"25006", database.Unavailable}, // read-only, as a standby is
	{"28", database.Unavailable},    // invalid authorization
	{"3D", database.Unavailable},    // no such database
	{"53", database.Unavailable},    // out of disk, memory or connections
	{"57P", database.Unavailable},   // shutting down, starting, dropped
	{"58", database.Unavailable},    // system error, such as of the disk
}

func classify(err error) database.Class {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		for _, s := range states {
			if strings.HasPrefix(e.Code, s.prefix) {
				return s.class
			}
		}
		return database.Retry
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	if connecting || database.Lost(err) || errors.Is(err, pgconn.ErrConnClosed) {
		return database.Unavailable
	}
	return database.Retry
}

// rejected reports whether the server has turned down the user, the password or
// the name of the database, which only an operator can put right.
func rejected(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(e.Code, "28") || strings.HasPrefix(e.Code, "3D"))
}
