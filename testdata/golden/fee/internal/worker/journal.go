// The journal of attempts, which outlives the process: it tells which messages
// were with the handler when a process died.

package worker

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// Journal notes each attempt with a message that may have been delivered before,
// so that the next process knows which messages this one died with. It is made
// to outlive the process, not the machine. Its methods may be called from any
// goroutine.
//
// Each process has a file of its own, locked for as long as it lives; so a
// process that takes over from one which still works (an upgrade) does not take
// that one's attempts for its end. Who opens a journal takes over the files of
// those that are dead.
type Journal struct {
	writing sync.Mutex // guards the file; taken before mu
	file    *os.File   // nil: closed
	path    string     // of file
	size    int64      // of file
	limit   int64      // from which size on it is written anew
	torn    bool       // it may not end with a whole line

	mu sync.Mutex // guards entries
	entries
}

const (
	// maxProcesses is how many may have a file at a time.
	maxProcesses = 64

	// A message that is not delivered again is forgotten in the end.
	maxDeaths = 10000
	maxAge    = 30 * 24 * time.Hour

	// minLimit is a size that is not worth to be made smaller.
	minLimit = 64 << 10
)

// OpenJournal opens the journal at path, or makes it; files of other processes
// have a number after that name. It is to be closed after the pool.
func OpenJournal(path string) (*Journal, error) {
	j := &Journal{entries: newEntries()}
	if err := j.open(path); err != nil {
		if j.file != nil {
			_ = j.file.Close()
		}
		return nil, fmt.Errorf("journal of attempts: %w", err)
	}
	return j, nil
}

// open takes the first file that belongs to nobody alive, and what the others
// say.
func (j *Journal) open(path string) error {
	var dead []*os.File
	defer func() {
		for _, f := range dead {
			_ = f.Close()
		}
	}()
	for i := range maxProcesses {
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		f, err := lockFile(name, j.file == nil)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if j.file == nil {
			j.file, j.path = f, name
		} else {
			dead = append(dead, f)
		}
		if err := j.inherit(f); err != nil {
			return err
		}
	}
	if j.file == nil {
		return fmt.Errorf("%d processes use %s, and there may be no more", maxProcesses, path)
	}
	j.prune(time.Now())
	// A process that ends in between forgets deaths rather than to count them twice.
	return j.rewrite(func() { removeFiles(dead) })
}

// inherit adds what the file of a dead process says.
func (j *Journal) inherit(f *os.File) error {
	text, err := readFile(f)
	if err != nil {
		return err
	}
	e := parseEntries(text)
	e.end(time.Now())
	j.add(e)
	return nil
}

// deathsWith is during how many attempts with the message a process ended.
func (j *Journal) deathsWith(m mark) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.deaths[m].count
}

// forget takes out what is known of a message, which is settled.
func (j *Journal) forget(m mark) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	j.mu.Lock()
	_, known := j.deaths[m]
	delete(j.deaths, m)
	j.mu.Unlock()
	if !known {
		return nil
	}
	return j.append(appendDeath(nil, m, death{}))
}

// append adds lines to the file, or writes it anew with what they say in it.
func (j *Journal) append(lines []byte) error {
	if j.file == nil {
		return nil
	}
	if j.torn || j.size+int64(len(lines)) > j.limit {
		return j.rewrite(nil)
	}
	if j.isEmpty() {
		return j.clear()
	}
	n, err := j.file.Write(lines)
	j.size += int64(n)
	j.torn = err != nil
	return err
}

func (j *Journal) isEmpty() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.deaths)+len(j.running) == 0
}

func (j *Journal) clear() error {
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	j.size = 0
	return nil
}

// rewrite exchanges the file for one that has no more lines than it needs.
// Between is called when that is written.
func (j *Journal) rewrite(between func()) error {
	j.mu.Lock()
	text := j.encode()
	j.mu.Unlock()
	fresh, err := createFile(j.path+".new", text)
	if err != nil {
		return err
	}
	if between != nil {
		between()
	}
	if err := os.Rename(fresh.Name(), j.path); err != nil {
		_ = fresh.Close()
		return err
	}
	_ = j.file.Close()
	j.file, j.size, j.torn = fresh, int64(len(text)), false
	j.limit = max(minLimit, 2*j.size)
	return nil
}

// Close closes the journal. The attempts that have not ended count as ended: the
// process ends in order, and in spite of them. It may be called twice, and
// attempts may go on: they are not noted any more.
func (j *Journal) Close() error {
	j.writing.Lock()
	defer j.writing.Unlock()
	if j.file == nil {
		return nil
	}
	j.mu.Lock()
	unended := len(j.running) > 0
	clear(j.running)
	j.mu.Unlock()
	var err error
	if unended {
		err = j.rewrite(nil)
	}
	err = errors.Join(err, j.file.Close())
	j.file = nil
	return err
}

// An attempt is an entry in the journal. Nil stands for none.
type attempt struct {
	journal *Journal
	marks   []mark

	mu           sync.Mutex
	begun, ended bool
}

// attempt plans an attempt with messages.
func (j *Journal) attempt(marks []mark) *attempt {
	if len(marks) == 0 {
		return nil
	}
	return &attempt{journal: j, marks: marks}
}

// begin notes that the attempt begins, unless it has ended already. After an
// error those who come after this process do not know.
func (a *attempt) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil
	}
	a.begun = true
	return a.journal.note(a.marks, 1)
}

// end notes that the attempt has ended, or will never begin. It may be called
// twice.
func (a *attempt) end() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	wasRunning := a.begun && !a.ended
	a.ended = true
	if !wasRunning {
		return nil
	}
	return a.journal.note(a.marks, -1)
}

// note writes, in one go, that attempts began or ended.
func (j *Journal) note(marks []mark, change int) error {
	j.writing.Lock()
	defer j.writing.Unlock()
	var lines []byte
	j.mu.Lock()
	for _, m := range marks {
		j.run(m, change)
		lines = appendRun(lines, m, change)
	}
	j.mu.Unlock()
	return j.append(lines)
}
