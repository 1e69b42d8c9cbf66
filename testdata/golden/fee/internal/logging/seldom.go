// What happens often, and is logged now and then.

package logging

import (
	"sync"
	"time"
)

// Seldom says when a thing that happens often is to be logged: the first time, and
// then once a minute. Its zero value is ready; it may be used from many goroutines.
type Seldom struct {
	mu   sync.Mutex
	last time.Time
}

// Due reports whether it is to be logged this time.
func (s *Seldom) Due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < time.Minute {
		return false
	}
	s.last = time.Now()
	return true
}
