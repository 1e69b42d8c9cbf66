// What an error says about further attempts.

package worker

import "errors"

// Class is what an error of the handler says about further attempts with the
// message.
type Class int

// The classes. An error, or one that it wraps, chooses its own with a method
// Permanent() bool or Unavailable() bool that returns true; the others are those
// of Options.Classify.
const (
	// Retry: another attempt may help. This one counts.
	Retry Class = iota

	// Permanent: no further attempt would help.
	Permanent

	// Unavailable: what the handler needs, such as the server of a database, is
	// away. The message is not to blame, and the attempt does not count.
	Unavailable
)

func (p *Pool) classify(err error) Class {
	var permanent interface{ Permanent() bool }
	var unavailable interface{ Unavailable() bool }
	switch {
	case err == nil:
		return Retry
	case errors.As(err, &permanent) && permanent.Permanent():
		return Permanent
	case errors.As(err, &unavailable) && unavailable.Unavailable():
		return Unavailable
	case p.options.Classify != nil:
		return p.options.Classify(err)
	}
	return Retry
}

// weigh returns the class of an error. A panic of its methods takes its place.
func (p *Pool) weigh(err *error) (c Class) {
	defer p.recovered(err)
	return p.classify(*err)
}
