// Letters that are tried again.

package deadletters

import (
	"crypto/sha256"
	"errors"
	"sync"
)

// ErrReplaying means that somebody has letters tried again already: it would be
// the same ones.
var ErrReplaying = errors.New("dead letters are being tried again already")

// BeginReplay keeps every other process, and every other goroutine, from having
// letters tried again, until end is called. It does not wait: the error is
// ErrReplaying if another does.
func (s *Store) BeginReplay() (end func(), err error) {
	l, err := s.acquire(replayName, alone, 0)
	if errors.Is(err, errLocked) {
		return nil, ErrReplaying
	}
	if err != nil {
		return nil, err
	}
	return l.unlock, nil
}

// Retry says that the message of a letter is to be tried again. Until Retried, an
// Add of the same message takes the place of the letter, and never fails with
// ErrFull.
func (s *Store) Retry(message []byte) { s.retries.begin(message) }

// Retried ends what Retry began. Of a message that has failed for good again it
// reports whether that is kept as another letter, so that the old one can be
// dropped.
func (s *Store) Retried(message []byte, failed bool) (added bool) {
	return s.retries.end(message, failed)
}

// retries are the messages that are being tried again, by their hash: of equal
// ones it does not matter which is which.
type retries struct {
	mu  sync.Mutex
	all map[hash]*retry
}

type hash = [sha256.Size]byte

// retry counts equal messages.
type retry struct {
	under int // being tried
	added int // since then, and not yet the letter of one that was tried
}

func (r *retries) begin(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[hash]*retry)
	}
	at := sha256.Sum256(message)
	if r.all[at] == nil {
		r.all[at] = &retry{}
	}
	r.all[at].under++
}

func (r *retries) end(message []byte, failed bool) (added bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := sha256.Sum256(message)
	one := r.all[at]
	if one == nil {
		return false
	}
	if failed && one.added > 0 {
		one.added--
		added = true
	}
	if one.under--; one.under == 0 {
		delete(r.all, at)
	}
	return added
}

// find returns what is known of a message, or nil. The caller holds the mutex.
func (r *retries) find(message []byte) *retry {
	if len(r.all) == 0 {
		return nil // most often: nothing to compute
	}
	return r.all[sha256.Sum256(message)]
}

// expects reports whether a letter of the message would take the place of another.
func (r *retries) expects(message []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.find(message)
	return one != nil && one.added < one.under
}

// stored takes note of a letter that was added.
func (r *retries) stored(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.find(message); one != nil {
		one.added++
	}
}
