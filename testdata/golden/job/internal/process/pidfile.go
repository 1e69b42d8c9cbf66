package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Pidfile tells who the running daemon is. Its text is a hint for people and
// scripts; what counts is the lock on it, which the daemon holds for as long as
// it lives through a descriptor that its starter left it. So a pidfile can't be
// stale, and nobody ever has to remove one: it is emptied on a clean exit and
// never unlinked, since a lock on an unlinked file protects nothing. Its methods
// may be called from any goroutine.
type Pidfile struct {
	path string

	mu   sync.Mutex
	file *os.File // guarded by mu
}

// OpenPidfile opens or makes the pidfile for a process that wants to be the
// daemon. A link, a special file or a file of another user is refused: the
// starter may be root and must not write where somebody else points it.
func OpenPidfile(path string) (*Pidfile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("pidfile %s is a symbolic link: %w", path, fs.ErrPermission)
	}
	if err != nil {
		return nil, fmt.Errorf("pidfile: %w", err)
	}
	if err := checkPidfile(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Pidfile{file: file, path: path}, nil
}

func checkPidfile(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("pidfile %s is not a regular file: %w", file.Name(), fs.ErrPermission)
	}
	if owner := int(info.Sys().(*syscall.Stat_t).Uid); owner != os.Geteuid() {
		return fmt.Errorf("pidfile %s belongs to uid %d, not to uid %d who starts: %w",
			file.Name(), owner, os.Geteuid(), fs.ErrPermission)
	}
	// Made under the caller's umask, which may be anything.
	if info.Mode().Perm() != 0o644 {
		return file.Chmod(0o644)
	}
	return nil
}

// Lock takes the lock, without waiting, and reports whether it is ours. The
// lock belongs to the open file: it passes to every process that inherits the
// descriptor and ends with the last of them.
func (p *Pidfile) Lock() (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ok, err := tryLock(p.file)
	if err != nil || !ok {
		return false, err
	}
	// Somebody may have put another file in place between opening and locking.
	return p.inPlace()
}

// inPlace reports whether the path still leads to the open file.
func (p *Pidfile) inPlace() (bool, error) {
	open, err := p.file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(open, there), err
}

// Write puts the pid of this process into the file.
func (p *Pidfile) Write() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.write()
}

func (p *Pidfile) write() error {
	text := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := p.file.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	return p.file.Truncate(int64(len(text)))
}

// InPlace reports whether the file is where it belongs: somebody may have removed
// it, or put another in its place.
func (p *Pidfile) InPlace() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	same, err := p.inPlace()
	return same || err != nil
}

// Restore puts a new file, locked, in the place of one that was removed, if this
// user may. The old one can't be linked again, and the lock on it is of no use.
func (p *Pidfile) Restore() error {
	fresh, err := OpenPidfile(p.path)
	if err != nil {
		return err
	}
	ok, err := fresh.Lock()
	if err == nil && !ok {
		err = errors.New("another process has locked the pidfile")
	}
	if err != nil {
		_ = fresh.Close()
		return err
	}
	return p.adopt(fresh.file)
}

// File is the open file, which stays the Pidfile's.
func (p *Pidfile) File() *os.File { return p.file }

// Adopt uses a file that the owner of the service has made and locked in the
// place of the one that was removed. The caller closes its own descriptor.
func (p *Pidfile) Adopt(file *os.File) error {
	open, err := file.Stat()
	if err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	there, err := os.Lstat(p.path)
	if err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	if !os.SameFile(open, there) || !open.Mode().IsRegular() {
		return fmt.Errorf("pidfile: the file is not that at %s", p.path)
	}
	own, err := duplicateFile(file)
	if err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	return p.adopt(own)
}

func (p *Pidfile) adopt(file *os.File) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.file.Close()
	p.file = file
	return p.write()
}

// handOn gives the file, with its lock, to the process that h describes; this
// one keeps its share.
func (p *Pidfile) handOn(h *Handover) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	file, err := duplicateFile(p.file)
	if err != nil {
		return fmt.Errorf("pidfile: %w", err)
	}
	h.Add(fdPidfile, file)
	return nil
}

// Clear empties the file: nothing runs, and nothing has crashed.
func (p *Pidfile) Clear() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.file.Truncate(0)
}

// Close gives up this process's share of the lock.
func (p *Pidfile) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.file.Close()
}

// Instance is what the pidfile tells to somebody who only looks.
type Instance struct {
	Running bool     // somebody holds the lock
	PID     int      // of the daemon; 0 if it isn't known (yet). Without a Process it is a hint
	Process *Process // the daemon, proven to hold the lock; nil if not Running or not provable. Close it
	Several bool     // hold the lock, and none is named: a daemon is being started
	Crashed bool     // nothing runs, and the last daemon did not end cleanly
}

// Find looks who runs, without taking the lock or writing anything. When the
// lock is held it proves which process holds it, so that a signal to
// Instance.Process can't reach a stranger. To one who may not see the processes
// of others it returns what it found together with an fs.ErrPermission.
func Find(path string) (*Instance, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &Instance{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pidfile: %w", err)
	}
	defer func() { _ = file.Close() }()
	// Of a process that has just died, the lock may be held for a moment by what
	// is left of it in the kernel.
	for deadline := time.Now().Add(lockGrace); ; time.Sleep(2 * time.Millisecond) {
		instance, err := look(file)
		if err != nil || !instance.Running || instance.PID > 0 || instance.Several || time.Now().After(deadline) {
			return instance, err
		}
	}
}

// look is Find for one moment.
func look(file *os.File) (*Instance, error) {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 32))
	if err != nil {
		return nil, fmt.Errorf("pidfile: %w", err)
	}
	locked, err := isLocked(file)
	if err != nil {
		return nil, fmt.Errorf("pidfile %s: %w", file.Name(), err)
	}
	if !locked {
		return &Instance{Crashed: len(text) > 0}, nil
	}
	instance := &Instance{Running: true}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
		instance.Process, err = openHolder(pid, file)
		if errors.Is(err, fs.ErrPermission) {
			instance.PID = pid
		}
		if err != nil && !errors.Is(err, errNotHolder) {
			return instance, err
		}
	}
	if instance.Process == nil {
		// The text is missing or wrong. The kernel still knows the holder.
		holders, err := searchHolders(file)
		if err != nil {
			return instance, err
		}
		if len(holders) == 1 {
			instance.Process = holders[0]
		} else {
			Children(holders).Close()
			instance.Several = len(holders) > 1
		}
	}
	if instance.Process != nil {
		instance.PID = instance.Process.PID
	}
	return instance, nil
}

// Close releases the handle of the process.
func (i *Instance) Close() {
	if i.Process != nil {
		i.Process.Close()
	}
}

var errNotHolder = errors.New("does not hold the lock of the pidfile")
