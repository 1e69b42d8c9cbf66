// Package deadletters keeps the messages that failed for good, whole, until
// somebody looks at them and has them tried again or drops them.
//
// # Files
//
// They are files of the state directory, one letter a line, as JSON that a person
// reads with cat or jq:
//
//	{"id":"0mig59a5n","time":"2025-11-26T15:13:02.123Z","transport":"tcp","message":"hello","reason":"no such table","attempts":3}
//
// A message that is not text is in message_base64 instead of message, a key in
// key_base64 instead of key. New letters go to the end of dead_letters. When that
// would grow beyond file_size it becomes dead_letters.000001, or what number comes
// next, and another is begun. Ids rise, from file to file as well, and none is
// given twice.
//
// # Safety
//
// Add returns when the letter is on the disk. What a crash or a full disk leaves
// of a line harms no other letter: it stays, and is reported, until somebody drops
// what is unreadable.
//
// Several processes use the files at once: the daemon, one that an upgrade has
// replaced and that serves its last peers, and the commands. Every change is made
// under the lock of dead_letters.lock, which ends with the process that has it;
// nobody keeps a file open from one change to the next. A file is never changed
// but at its end: Drop puts another in its place, in one step.
//
// The directory belongs to the user of the service, and root works in it. So
// nothing is opened but regular files of this very directory, no link is followed,
// and what takes the place of a file has its owner and mode.
package deadletters

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Store is the dead letters of a state directory. Its methods may be called from
// any goroutine, and the same directory may be open in other processes.
type Store struct {
	path  string
	root  *os.Root
	owner ownership // of the directory
	now   func() time.Time

	writing sync.Mutex // held while letters are added

	mu       sync.Mutex // guards the rest
	settings Settings
	waiting  []*addition // to be added with the next
	retries  retries
	counter  counter
}

// Open opens the dead letters of a state directory, which must be there, and
// changes nothing in it. Close closes them.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Store{path: dir, root: root, owner: ownerOf(info), now: time.Now, settings: *Default()}, nil
}

// Prepare makes sure that letters can be added, and clears away what a process
// that was killed has left half done.
func (s *Store) Prepare() error {
	l, err := s.lock()
	if err != nil {
		return err
	}
	defer l.unlock()
	if err := s.sweep(); err != nil {
		return err
	}
	file, err := s.open(current, os.O_WRONLY|os.O_APPEND)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// Configure changes the settings, which must be valid.
func (s *Store) Configure(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = settings
}

// Close ends the use of the store: its methods fail from then on.
func (s *Store) Close() error { return s.root.Close() }

// at puts the whole path of a file into an error that knows its name only.
func (s *Store) at(name string, err error) error {
	cause := err
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		cause = path.Err
	} else if link := (*os.LinkError)(nil); errors.As(err, &link) {
		cause = link.Err
	}
	return &fs.PathError{Op: "dead letters", Path: filepath.Join(s.path, name), Err: cause}
}
