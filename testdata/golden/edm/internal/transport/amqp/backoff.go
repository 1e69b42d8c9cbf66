// The pauses between attempts to reach a broker that is away.

package amqp

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// backoff are pauses with "full jitter", from the first one on, so that the
// clients that have lost a broker together do not come back to it together.
// See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
type backoff struct {
	bound   time.Duration // of the last pause
	longest time.Duration // bound of any; 0: longestPause
}

const (
	firstPause   = 100 * time.Millisecond // bound of the first pause
	longestPause = 5 * time.Second        // of any
)

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, firstPause), cmp.Or(b.longest, longestPause))
	return rand.N(b.bound) + 1
}
