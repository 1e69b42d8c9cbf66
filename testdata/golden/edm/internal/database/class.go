// What the errors of a database mean for whoever has to go on after one.

package database

import "fmt"

// Class is what can be done about an error of a database.
type Class int

// The classes of errors.
const (
	// Retry: the same again may succeed, a little later.
	Retry Class = iota

	// Permanent: the same again fails again, as with a constraint that a value
	// violates.
	Permanent

	// Unavailable: the database can't be reached, whatever it is asked for.
	Unavailable
)

// String returns the name of the class.
func (c Class) String() string {
	switch c {
	case Retry:
		return "retry"
	case Permanent:
		return "permanent"
	case Unavailable:
		return "unavailable"
	}
	return fmt.Sprintf("class %d", int(c))
}

// Classify tells what can be done about an error of this database: Retry where
// the database does not say more.
func (db *DB) Classify(err error) Class {
	if classify := db.current.Load().Classify; classify != nil {
		return classify(err)
	}
	return Retry
}

// UnavailableError is what Config.Open fails with where the database can't be
// reached at the moment, though nothing says that the configuration is wrong: a
// server that is not up yet, or is on its way down. What an operator has to put
// right, such as a password that the server does not take, is none.
type UnavailableError struct{ Err error }

func (e *UnavailableError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Unavailable says that another attempt to open the database makes sense.
func (e *UnavailableError) Unavailable() bool { return true }
