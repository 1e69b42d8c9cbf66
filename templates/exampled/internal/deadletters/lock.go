// The lock under which every change is made.

package deadletters

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/filelock"
)

const (
	lockName   = "dead_letters.lock"
	replayName = "dead_letters.replay" // locked by who has letters tried again
)

// patience is how long to wait for a lock: changes take a moment, and one that
// was stopped amidst a change must not stop all others too.
const patience = 10 * time.Second

// sharing is who may hold a lock at the same time.
type sharing bool

const (
	alone  sharing = false
	shared sharing = true
)

// lock is a lock that is held, by an open file: flock(2), which also keeps the
// goroutines of a process apart, since each opens the file anew. It ends with the
// process.
type lock struct{ file *os.File }

// unlock gives the lock back. It may be called for nil.
func (l *lock) unlock() {
	if l != nil {
		_ = l.file.Close()
	}
}

// lock waits for the lock under which files are changed.
func (s *Store) lock() (*lock, error) { return s.acquire(lockName, alone, patience) }

// lockShared waits until nobody changes the files, and keeps everybody from it.
// Where there is no file to lock, nobody has ever changed anything: the lock is
// nil, since to look must not change anything either.
func (s *Store) lockShared() (*lock, error) {
	l, err := s.acquire(lockName, shared, patience)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return l, err
}

// errLocked is why a lock was not to be had in time.
var errLocked = errors.New("another process holds the lock")

// acquire waits for a lock on the file of that name, which is made for a lock that
// is not shared.
func (s *Store) acquire(name string, how sharing, patience time.Duration) (*lock, error) {
	pause := time.Millisecond
	for deadline := time.Now().Add(patience); ; {
		l, err := s.tryLock(name, how)
		if err == nil || !errors.Is(err, errLocked) {
			return l, err
		}
		if !time.Now().Before(deadline) {
			return nil, s.at(name, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 20*time.Millisecond)
	}
}

// tryLock takes the lock at once, or fails with errLocked.
func (s *Store) tryLock(name string, how sharing) (*lock, error) {
	flag := os.O_RDWR
	if how == shared {
		flag = os.O_RDONLY // it may be on a disk that is read only
	}
	file, err := s.open(name, flag)
	if errors.Is(err, fs.ErrNotExist) && how != shared {
		if err := s.makeLockFile(name); err != nil {
			return nil, err
		}
		return s.tryLock(name, how)
	}
	if err != nil {
		return nil, err
	}
	try := filelock.Try
	if how == shared {
		try = filelock.TryShared
	}
	locked, err := try(file)
	switch {
	case err == nil && !locked:
		err = errLocked
	case err == nil:
		// A lock on a file that was removed meanwhile protects nothing.
		if there, lerr := s.root.Lstat(name); lerr != nil || !isOpenAs(file, there) {
			err = errLocked
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &lock{file}, nil
}

func isOpenAs(file *os.File, there fs.FileInfo) bool {
	opened, err := file.Stat()
	return err == nil && os.SameFile(opened, there)
}

// makeLockFile makes the file in one step: if root makes it, it is never root's
// under its name, where the service could not open it.
func (s *Store) makeLockFile(name string) error {
	unfinished := fmt.Sprintf("%s.%d.%d", temporary, os.Getpid(), time.Now().UnixNano())
	file, err := s.create(unfinished, 0o600)
	if err != nil {
		return err
	}
	err = s.root.Link(unfinished, name)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		err = nil // it is made, another was faster, or has swept this one away
	} else {
		err = s.at(name, err)
	}
	_ = s.root.Remove(unfinished)
	return errors.Join(err, file.Close())
}
