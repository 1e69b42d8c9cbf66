// How many letters there are, at a price that status can pay each time.

package deadletters

import (
	"bytes"
	"io"
	"os"
	"time"
)

// countLimit is how long Count waits for a count, of files that many letters were
// dropped from, or that a start finds.
const countLimit = 100 * time.Millisecond

// Count returns how many letters there are, those of other processes included. It
// looks at what has changed since the last count only, and if that takes long it
// returns the last count, and goes on counting for the next call. Lines that begin
// and end like those of letters are taken for them.
func (s *Store) Count() int {
	s.mu.Lock()
	c := &s.counter
	if c.counting == nil {
		counting := make(chan struct{})
		c.counting = counting
		go s.count(counting)
	}
	counting := c.counting
	s.mu.Unlock()

	limit := time.NewTimer(countLimit)
	defer limit.Stop()
	select {
	case <-counting:
	case <-limit.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.letters
}

// counter is what is known from the last count. The mutex of the store guards it,
// but for files, which is that of the goroutine that counts.
type counter struct {
	letters  int
	counting chan struct{} // closed at the end of the count under way; nil: none
	files    map[string]counted
}

// counted is a file as far as it was counted: to the end of its last letter. For
// as long as that is where it was, so is all before it, since ids are not given
// again, and to drop a letter moves those after it to the front.
type counted struct {
	letters int
	from    int64 // of the last letter
	to      int64
	id      string // likewise
}

func (s *Store) count(counting chan struct{}) {
	total, err := 0, error(nil)
	files := make(map[string]counted)
	entries, err := s.entries()
	for _, e := range entries {
		if err != nil {
			break
		}
		var c counted
		c, err = s.countFile(e)
		files[e.name] = c
		total += c.letters
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.counter.letters, s.counter.files = total, files
	}
	s.counter.counting = nil
	close(counting)
}

// countFile counts what is new in a file; one that has got its number since the
// last count was known as current.
func (s *Store) countFile(e entry) (counted, error) {
	file, err := s.open(e.name, os.O_RDONLY)
	if err != nil {
		return counted{}, err
	}
	defer func() { _ = file.Close() }()
	var c counted
	for _, name := range []string{e.name, current} {
		if known := s.counter.files[name]; known.isIn(file) {
			c = known
			break
		}
	}
	base := c.to
	err = readLines(io.NewSectionReader(file, base, e.size-base), func(offset int64, text []byte) bool {
		id, ok := lineID(text)
		if ok && bytes.HasSuffix(text, []byte("}\n")) {
			from := base + offset
			c = counted{c.letters + 1, from, from + int64(len(text)), id}
		}
		return true
	})
	return c, err
}

// isIn reports whether a file holds what was counted.
func (c counted) isIn(file *os.File) bool {
	if c.letters == 0 {
		return false
	}
	start := make([]byte, len(idPrefix)+idLength+1)
	n, _ := file.ReadAt(start, c.from)
	id, ok := lineID(start[:n])
	return ok && id == c.id
}
