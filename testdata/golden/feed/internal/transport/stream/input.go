// What was received and is not given out yet.

package stream

import "sync"

// input cuts a stream of bytes into messages. A message that was given out is
// never written to again. Nothing is held for a connection without an unfinished
// message.
type input struct {
	framing framing
	held    []byte // received, not given out; its capacity is its own
	scanned int    // this much of held is known to hold no whole message
}

// add takes a copy of what was received. It makes room for what there is, and
// not for what the peer says will come.
func (in *input) add(received []byte) { in.held = append(in.held, received...) }

// next cuts off the next message. It reports false when no whole one is there,
// and errTooLong when the next has, or will have, more than limit bytes.
func (in *input) next(limit int) (message []byte, ok bool, err error) {
	message, size, err := in.framing.next(in.held, in.scanned, limit)
	if err != nil || size == 0 {
		in.scanned = len(in.held)
		return nil, false, err
	}
	if in.held, in.scanned = in.held[size:], 0; len(in.held) == 0 {
		in.held = nil
	}
	return message, true, nil
}

// rest is how many bytes of an unfinished message are there.
func (in *input) rest() int { return len(in.held) }

// scratches are what is read to, for the time of one call: many connections wait,
// few read.
var (
	scratches      = sync.Pool{New: func() any { return new([16 << 10]byte) }}
	smallScratches = sync.Pool{New: func() any { return new([1 << 10]byte) }}
)
