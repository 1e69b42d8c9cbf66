// The ids of letters: short, in the order of time, and never given twice.

package deadletters

import (
	"strconv"
	"strings"
)

// An id is a time in milliseconds, or what comes next after the last id, in base
// 36 and of a fixed length, so that text sorts as time does.
const idLength = 9

// maxID is far enough in the future (the year 3578) for whatever a clock says, and
// leaves room: a damaged mark beyond it does not count.
const maxID = 101559956668416 / 2 // half of 36^9

func formatID(n int64) string {
	digits := strconv.FormatInt(n, 36)
	return strings.Repeat("0", max(0, idLength-len(digits))) + digits
}

func parseID(id string) (n int64, ok bool) {
	if len(id) != idLength {
		return 0, false
	}
	n, err := strconv.ParseInt(id, 36, 64)
	return n, err == nil && n > 0 && formatID(n) == id
}

// mark returns the last id that was given. It is in the file of the lock; where
// somebody has removed that it is the last that there is a letter with.
func (s *Store) mark(l *lock) (last int64, err error) {
	text := make([]byte, idLength)
	n, _ := l.file.ReadAt(text, 0) // damaged is as good as missing
	if last, ok := parseID(string(text[:n])); ok && last < maxID {
		return last, nil
	}
	entries, err := s.entries()
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		err := s.eachLine(e, func(_ int64, text []byte) bool {
			if id, ok := lineID(text); ok {
				n, _ := parseID(id) // as lineID has done
				last = max(last, min(n, maxID))
			}
			return true
		})
		if err != nil {
			return 0, err
		}
	}
	return last, nil
}

// setMark notes an id as given. It is not on the disk at once: after a failure
// of the machine the clock alone keeps ids from being given again.
func (l *lock) setMark(id string) error {
	_, err := l.file.WriteAt([]byte(id+"\n"), 0)
	return err
}
