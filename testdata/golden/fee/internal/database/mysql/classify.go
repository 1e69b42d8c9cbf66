// What the errors of MySQL and MariaDB mean.

package mysql

import (
	"errors"

	"github.com/go-sql-driver/mysql"

	"example.com/fee/internal/database"
)

// states has the classes of SQLSTATE that say enough, by their two characters.
var states = map[string]database.Class{
	"22": database.Permanent,   // data exception
	"23": database.Permanent,   // integrity constraint violation
	"08": database.Unavailable, // connection exception
	"28": database.Unavailable, // invalid authorization
}

// numbers has the errors whose SQLSTATE, such as HY000, says nothing. Of those
// that are in neither, 1205 (lock wait timeout) and 1213 (deadlock) are what a
// retry is for.
var numbers = map[uint16]database.Class{
	1153: database.Permanent, // larger than max_allowed_packet
	1265: database.Permanent, // data truncated
	1364: database.Permanent, // no default value
	1366: database.Permanent, // incorrect value
	3140: database.Permanent, // invalid JSON
	3819: database.Permanent, // a check, in MySQL
	4025: database.Permanent, // a check, in MariaDB

	1021: database.Unavailable, // disk full
	1044: database.Unavailable, // no access to the database
	1049: database.Unavailable, // no such database
	1114: database.Unavailable, // table full, as is the disk
	1129: database.Unavailable, // host is blocked
	1130: database.Unavailable, // host is not allowed
	1203: database.Unavailable, // too many connections of the user
	1226: database.Unavailable, // limit of the user
	1290: database.Unavailable, // an option of the server, such as --read-only
	1820: database.Unavailable, // the password has to be changed
	1836: database.Unavailable, // read only mode
	1927: database.Unavailable, // connection was killed, in MariaDB
	3118: database.Unavailable, // account is locked, in MySQL
	4031: database.Unavailable, // disconnected as idle, in MySQL
	4151: database.Unavailable, // account is locked, in MariaDB
}

func classify(err error) database.Class {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		if class, ok := numbers[e.Number]; ok {
			return class
		}
		return states[string(e.SQLState[:2])]
	}
	switch {
	case errors.Is(err, mysql.ErrPktTooLarge):
		return database.Permanent
	case database.Lost(err), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, mysql.ErrMalformPkt), errors.Is(err, mysql.ErrPktSync):
		return database.Unavailable
	}
	return database.Retry
}

// rejected reports whether the server has turned down the user, the password or
// the name of the database, which only an operator can put right.
func rejected(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return false
	}
	switch e.Number {
	case 1044, 1045, 1049, 1130, 1698, 1820, 3118, 4151:
		return true
	}
	return false
}
