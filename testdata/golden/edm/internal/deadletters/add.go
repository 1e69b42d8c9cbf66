// Adding letters.

package deadletters

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"example.com/edm/internal/config"
)

// ErrFull means that total_size leaves no room for a letter.
var ErrFull = errors.New("no room is left for dead letters")

// addition is a letter on its way into the file.
type addition struct {
	letter Letter
	done   bool
	err    error
}

// Add stores a letter under a new id, whatever its ID says, and returns when it is
// on the disk. It can fail for a disk that is full, and with ErrFull; then nothing
// of the letter is there, and the caller still has it.
//
// Letters that come while others are written are written together after them, so
// that many workers at once do not each wait for the disk.
func (s *Store) Add(l Letter) error {
	a := &addition{letter: l}
	s.mu.Lock()
	s.waiting = append(s.waiting, a)
	s.mu.Unlock()

	s.writing.Lock()
	defer s.writing.Unlock()
	if a.done {
		return a.err
	}
	s.mu.Lock()
	all, settings := s.waiting, s.settings
	s.waiting = nil
	s.mu.Unlock()
	s.addAll(all, settings)
	return a.err
}

func (s *Store) addAll(all []*addition, settings Settings) {
	err := s.withAppender(settings, func(w *appender) {
		for _, a := range all {
			if err := w.add(a); err != nil {
				a.err = err
			}
		}
	})
	for _, a := range all {
		a.done = true
		if a.err == nil {
			a.err = err
		}
		if a.err == nil {
			s.retries.stored(a.letter.Message)
		}
	}
}

// appender adds lines to current, under the lock.
type appender struct {
	store    *Store
	settings Settings
	lock     *lock
	last     int64 // id that was given last
	rotated  int   // number that was given last
	total    int64 // bytes of all files

	file   *os.File // nil: current is not there
	size   int64    // of file
	torn   bool     // file does not end with a line
	isNew  bool     // the name of file may not be on the disk
	safe   int64    // of file: what is on the disk
	unsafe []*addition
}

// withAppender has use add letters. Its error is one of the beginning, that all of
// them share.
func (s *Store) withAppender(settings Settings, use func(*appender)) error {
	l, err := s.lock()
	if err != nil {
		return err
	}
	defer l.unlock()
	w := &appender{store: s, settings: settings, lock: l}
	if w.last, err = s.mark(l); err != nil {
		return err
	}
	entries, err := s.entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		w.total += e.size
		if e.number != currentNumber {
			w.rotated = e.number
		}
	}
	if err := w.openCurrent(); err != nil {
		return err
	}
	use(w)
	w.close()
	return nil
}

// openCurrent opens current, if it is there.
func (w *appender) openCurrent() error {
	file, err := w.store.open(current, os.O_RDWR|os.O_APPEND)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	w.file = file
	end := make([]byte, 1)
	if w.size, err = file.Seek(0, io.SeekEnd); err == nil && w.size > 0 {
		_, err = file.ReadAt(end, w.size-1)
		w.torn = end[0] != '\n'
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	w.safe = w.size
	return nil
}

// add writes a letter, which is on the disk after the next sync.
func (w *appender) add(a *addition) error {
	next := max(w.store.now().UnixMilli(), w.last+1)
	l := a.letter
	l.ID = formatID(next)
	text, err := l.encode()
	if err != nil {
		return err
	}
	size := int64(len(text))
	if err := w.admit(a.letter, size); err != nil {
		return err
	}
	if w.size > 0 && w.size+size > int64(w.settings.FileSize) {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	if err := w.createCurrent(); err != nil {
		return err
	}
	// The mark first: an id that was noted and not used does no harm.
	if err := w.lock.setMark(l.ID); err != nil {
		return err
	}
	w.last = next
	if err := w.write(text); err != nil {
		return err
	}
	w.unsafe = append(w.unsafe, a)
	return nil
}

// admit fails if there is no room. A message that is tried again has room: its
// letter is about to be dropped.
func (w *appender) admit(l Letter, size int64) error {
	most := w.settings.TotalSize
	if w.total+size <= int64(most) || w.store.retries.expects(l.Message) {
		return nil
	}
	return fmt.Errorf("%w: those in %s have %s of %s (dead_letters.total_size): have some tried again or drop some, with the command deadletters",
		ErrFull, w.store.path, config.Size(w.total), most)
}

// write puts a line at the end of the file, all of it or nothing.
func (w *appender) write(text []byte) error {
	if w.torn {
		text = append([]byte("\n"), text...)
	}
	n, err := w.file.Write(text)
	if err != nil {
		// What could not be taken back would be a line that is unreadable.
		if terr := w.file.Truncate(w.size); terr != nil {
			w.size += int64(n)
			w.torn = n > 0 || w.torn
		}
		return err
	}
	w.torn = false
	w.size += int64(n)
	w.total += int64(n)
	return nil
}

// rotate gives current its number.
func (w *appender) rotate() error {
	if err := w.sync(); err != nil {
		return err
	}
	name := rotatedName(w.rotated + 1)
	if err := w.store.root.Rename(current, name); err != nil {
		return w.store.at(current, err)
	}
	w.rotated++
	err := w.file.Close()
	w.file, w.size, w.safe, w.torn = nil, 0, 0, false
	return err
}

// createCurrent makes current if it is not there.
func (w *appender) createCurrent() (err error) {
	if w.file == nil {
		w.file, err = w.store.create(current, 0o640)
		w.isNew = true
	}
	return err
}

// sync makes sure that what was added is on the disk, or is not there at all.
func (w *appender) sync() error {
	if len(w.unsafe) == 0 {
		return nil
	}
	err := w.file.Sync()
	if err == nil && w.isNew {
		err = w.store.syncDir()
	}
	if err != nil {
		for _, a := range w.unsafe {
			a.err = err
		}
		if terr := w.file.Truncate(w.safe); terr == nil {
			w.size = w.safe
		}
	} else {
		w.isNew = false
	}
	w.safe, w.unsafe = w.size, nil
	return err
}

func (w *appender) close() {
	_ = w.sync() // its letters know
	if w.file != nil {
		_ = w.file.Close()
	}
}
