// The files of the letters: what they are called, and how they are opened.

package deadletters

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	current   = "dead_letters" // new letters go here
	temporary = "dead_letters.tmp"
)

// currentNumber stands for the number of current, which comes after all others.
const currentNumber = math.MaxInt

// entry is one of the files at a moment.
type entry struct {
	name   string
	number int
	size   int64
}

// rotatedName is what current is called once another has taken its place.
func rotatedName(number int) string { return fmt.Sprintf("%s.%06d", current, number) }

// numberOf returns the number of a file of letters, or 0 for another file.
func numberOf(name string) int {
	if name == current {
		return currentNumber
	}
	digits, _ := strings.CutPrefix(name, current+".")
	number, err := strconv.Atoi(digits)
	if err != nil || number < 1 || rotatedName(number) != name {
		return 0
	}
	return number
}

// entries returns the files that there are, in the order of their letters.
func (s *Store) entries() ([]entry, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, name := range names {
		number := numberOf(name)
		if number == 0 {
			continue
		}
		info, err := s.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, s.at(name, err)
		}
		entries = append(entries, entry{name, number, info.Size()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.number, b.number) })
	return entries, nil
}

// names returns the names of all files of the directory.
func (s *Store) names() ([]string, error) {
	dir, err := s.root.Open(".")
	if err != nil {
		return nil, s.at("", err)
	}
	defer func() { _ = dir.Close() }()
	return dir.Readdirnames(-1)
}

// syncDir makes sure that the names of files are on the disk.
func (s *Store) syncDir() error {
	dir, err := s.root.Open(".")
	if err != nil {
		return s.at("", err)
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}

var errNotRegular = errors.New("is not a regular file of this directory: a link or a special file is not touched")

// open opens a file of the directory. A link is refused, also one that stays in
// the directory, as is all that is no regular file (pitfall 29).
func (s *Store) open(name string, flag int) (*os.File, error) {
	// Without O_NONBLOCK to open a pipe waits for the other end.
	file, err := s.root.OpenFile(name, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if info, lerr := s.root.Lstat(name); lerr == nil && info.Mode()&fs.ModeSymlink != 0 {
			err = errNotRegular // a link to nothing
		}
	}
	if err != nil {
		return nil, s.at(name, err)
	}
	opened, err := file.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = s.root.Lstat(name); err == nil && (!there.Mode().IsRegular() || !os.SameFile(opened, there)) {
			err = errNotRegular
		}
	}
	if err != nil {
		return nil, errors.Join(s.at(name, err), file.Close())
	}
	return file, nil
}

// create makes a file that is not there, for the owner of the directory.
func (s *Store) create(name string, mode fs.FileMode) (*os.File, error) {
	file, err := s.root.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, s.at(name, err)
	}
	if err := s.owner.giveTo(file); err != nil {
		return nil, errors.Join(s.at(name, err), file.Close(), s.root.Remove(name))
	}
	return file, nil
}

// sweep removes what a process that was killed has left half done. The caller
// holds the lock.
func (s *Store) sweep() error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, temporary) {
			continue
		}
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.at(name, err)
		}
	}
	return nil
}
