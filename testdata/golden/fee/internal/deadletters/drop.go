// Dropping letters: a file without them takes the place of the one with them.

package deadletters

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// DropIDs drops the letters with these ids. It returns how many, and the ids that
// there is no letter with, in the order in which they came. An error means that
// not all were dropped.
func (s *Store) DropIDs(ids []string) (dropped int, unknown []string, err error) {
	found := make(map[string]bool, len(ids))
	for _, id := range ids {
		found[id] = false
	}
	dropped, err = s.drop(func(text []byte) bool {
		id, ok := lineID(text)
		if _, wanted := found[id]; !ok || !wanted {
			return false
		}
		if _, ok := decode(text); !ok {
			return false
		}
		found[id] = true
		return true
	})
	for _, id := range ids {
		if !found[id] {
			found[id] = true // say it once
			unknown = append(unknown, id)
		}
	}
	return dropped, unknown, err
}

// Drop drops the letters for which which returns true, and returns how many. An
// error means that not all were dropped.
func (s *Store) Drop(which func(Letter) bool) (dropped int, err error) {
	return s.drop(func(text []byte) bool {
		l, ok := decode(text)
		return ok && which(l)
	})
}

// DropUnreadable drops the lines that are none of letters, and returns how many.
func (s *Store) DropUnreadable() (dropped int, err error) {
	return s.drop(func(text []byte) bool {
		_, ok := decode(text)
		return !ok && !isBlank(text)
	})
}

// drop drops the lines for which which returns true, file by file: between two
// files others have their turn.
func (s *Store) drop(which func(text []byte) bool) (dropped int, err error) {
	for number := 0; ; {
		var n int
		n, number, err = s.dropAfter(number, which)
		dropped += n
		if err != nil || number == 0 {
			return dropped, err
		}
	}
}

// dropAfter drops lines of the first file with a larger number, which it returns;
// 0 if there is none.
func (s *Store) dropAfter(number int, which func([]byte) bool) (dropped, at int, err error) {
	l, err := s.lock()
	if err != nil {
		return 0, 0, err
	}
	defer l.unlock()
	entries, err := s.entries()
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		if e.number > number {
			dropped, err = s.dropOf(e, which)
			return dropped, e.number, err
		}
	}
	return 0, 0, nil
}

// span is a part of a file.
type span struct{ from, to int64 }

// dropOf drops lines of a file, all of them or, with an error, none.
func (s *Store) dropOf(e entry, which func([]byte) bool) (dropped int, err error) {
	file, err := s.open(e.name, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	var keep []span
	err = readLines(file, func(offset int64, text []byte) bool {
		end := offset + int64(len(text))
		switch last := len(keep) - 1; {
		case isBlank(text):
		case which(text):
			dropped++
		case last >= 0 && keep[last].to == offset:
			keep[last].to = end
		default:
			keep = append(keep, span{offset, end})
		}
		return true
	})
	if err != nil || dropped == 0 {
		return 0, err
	}
	if len(keep) == 0 {
		if err := s.root.Remove(e.name); err != nil {
			return 0, s.at(e.name, err)
		}
		return dropped, s.syncDir()
	}
	if err := s.rewrite(e.name, file, keep); err != nil {
		return 0, err
	}
	return dropped, nil
}

// rewrite puts a file with parts of the old one in its place.
func (s *Store) rewrite(name string, old *os.File, keep []span) error {
	if err := s.sweep(); err != nil {
		return err
	}
	fresh, err := s.createLike(temporary, old)
	if err != nil {
		return err
	}
	for _, part := range keep {
		if err == nil {
			_, err = io.Copy(fresh, io.NewSectionReader(old, part.from, part.to-part.from))
		}
	}
	if err == nil {
		err = fresh.Sync()
	}
	err = errors.Join(err, fresh.Close())
	if err == nil {
		err = s.root.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w; the letters are all still there", s.at(name, err)), s.root.Remove(temporary))
	}
	return s.syncDir()
}

// createLike makes a file with the owner and the mode of another.
func (s *Store) createLike(name string, old *os.File) (*os.File, error) {
	info, err := old.Stat()
	if err != nil {
		return nil, err
	}
	fresh, err := s.create(name, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(fresh.Chmod(info.Mode().Perm()), ownerOf(info).giveTo(fresh)); err != nil {
		return nil, errors.Join(s.at(name, err), fresh.Close(), s.root.Remove(name))
	}
	return fresh, nil
}
