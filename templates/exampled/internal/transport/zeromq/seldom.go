package zeromq

import (
	"sync"
	"time"
)

// seldom says when a thing that happens often is to be logged: the first time,
// and then once a minute.
type seldom struct {
	mu   sync.Mutex
	last time.Time
}

func (s *seldom) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && time.Since(s.last) < time.Minute {
		return false
	}
	s.last = time.Now()
	return true
}
