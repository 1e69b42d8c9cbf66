// Reading letters, while others add and drop some.

package deadletters

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
)

// maxLine is the size in bytes of the longest line that is read.
const maxLine = 1 << 30

// UnreadableError says that a line is none of a letter.
type UnreadableError struct {
	File string // path
	Line int    // number, from 1
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("%s:%d: no dead letter can be read there", e.File, e.Line)
}

// Letters yields all letters, the oldest first. An *UnreadableError stands for a
// line that is none, and others follow; after any other error none do. It reads a
// file at a time as it was at one moment: what is added or dropped meanwhile is
// seen or not. No lock is held while a letter is with the caller.
func (s *Store) Letters() iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		for from := (position{}); ; {
			e, file, err := s.next(&from)
			if err != nil {
				yield(Letter{}, err)
				return
			}
			if file == nil || !s.yieldLetters(e, file, yield) {
				return
			}
		}
	}
}

func (s *Store) yieldLetters(e entry, file *os.File, yield func(Letter, error) bool) bool {
	defer func() { _ = file.Close() }()
	n, more := 0, true
	err := readLines(io.NewSectionReader(file, 0, e.size), func(_ int64, text []byte) bool {
		n++
		l, ok := decode(text)
		switch {
		case isBlank(text):
		case ok:
			more = yield(l, nil)
		default:
			more = yield(Letter{}, &UnreadableError{filepath.Join(s.path, e.name), n})
		}
		return more
	})
	if more && err != nil {
		yield(Letter{}, err)
		return false
	}
	return more
}

// After returns letters with ids that come after one, the oldest first, of those
// that are wanted; nil wants all. It stops at so many letters, or when their
// messages have so many bytes; more tells whether there may be others.
func (s *Store) After(id string, wanted func(id string) bool, most int, bytes int64) (letters []Letter, more bool, err error) {
	for from := (position{id: id}); !more; {
		e, file, err := s.next(&from)
		if err != nil || file == nil {
			return letters, false, err
		}
		err = readLines(io.NewSectionReader(file, 0, e.size), func(_ int64, text []byte) bool {
			at, ok := lineID(text)
			if !ok || at <= id || wanted != nil && !wanted(at) {
				return true
			}
			if l, ok := decode(text); ok {
				letters = append(letters, l)
				bytes -= int64(len(l.Message))
			}
			more = len(letters) >= most || bytes <= 0
			return !more
		})
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, false, err
		}
	}
	return letters, more, nil
}

// Last returns the id that was given last: no letter that is there has a later one.
func (s *Store) Last() (id string, err error) {
	l, err := s.lock()
	if err != nil {
		return "", err
	}
	defer l.unlock()
	last, err := s.mark(l)
	return formatID(last), err
}

// position is how far a reader has come.
type position struct {
	number int    // of the last file
	id     string // before the first file: where to begin
}

// next opens the file after a position, which it moves. The file is nil if there
// is none. It takes the lock, so that no file changes its name meanwhile, and no
// line is half written.
func (s *Store) next(from *position) (entry, *os.File, error) {
	l, err := s.lockShared()
	if err != nil {
		return entry{}, nil, err
	}
	defer l.unlock()
	entries, err := s.entries()
	if err != nil {
		return entry{}, nil, err
	}
	for i, e := range entries {
		if e.number <= from.number {
			continue
		}
		// All of a file comes before the first of the next.
		if from.id != "" && i+1 < len(entries) {
			if first, ok := s.firstID(entries[i+1]); ok && first <= from.id {
				continue
			}
		}
		*from = position{number: e.number}
		file, err := s.open(e.name, os.O_RDONLY)
		return e, file, err
	}
	return entry{}, nil, nil
}

// firstID returns the id of the first letter of a file, if it is on its first line.
func (s *Store) firstID(e entry) (id string, ok bool) {
	file, err := s.open(e.name, os.O_RDONLY)
	if err != nil {
		return "", false
	}
	defer func() { _ = file.Close() }()
	start := make([]byte, len(idPrefix)+idLength+1)
	n, _ := file.ReadAt(start, 0)
	return lineID(start[:n])
}

// eachLine visits the lines of a file. One that is gone has none.
func (s *Store) eachLine(e entry, visit func(offset int64, text []byte) bool) error {
	file, err := s.open(e.name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return readLines(file, visit)
}

// readLines calls visit with each line, its end included, and where it begins,
// until that returns false. The text is valid during the call only.
func readLines(r io.Reader, visit func(offset int64, text []byte) bool) error {
	reader := bufio.NewReaderSize(r, 64<<10)
	var offset int64
	for {
		text, err := readLine(reader)
		if len(text) > 0 && !visit(offset, text) {
			return nil
		}
		offset += int64(len(text))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errLineTooLong = fmt.Errorf("a line is longer than %d bytes", maxLine)

func readLine(reader *bufio.Reader) ([]byte, error) {
	text, err := reader.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	long := bytes.Clone(text)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > maxLine {
			return nil, errLineTooLong
		}
		text, err = reader.ReadSlice('\n')
		long = append(long, text...)
	}
	return long, err
}

// isBlank: jq does not mind such a line, and an editor may have left it.
func isBlank(text []byte) bool { return len(bytes.TrimSpace(text)) == 0 }
