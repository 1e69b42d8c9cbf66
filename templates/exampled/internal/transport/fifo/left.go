// What is left at the end: lines that were read and not handled. A fifo can't
// take them back, so they are kept in files of the state directory until the
// service runs again.

package fifo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/filelock"
)

// leftPrefix begins the names of these files.
const leftPrefix = "fifo.left."

// A leftover is such a file. Who has it open has its lock: in an upgrade there are
// two processes that could take it.
type leftover struct {
	file  *os.File
	lines [][]byte
}

// keep writes lines to a file of their own, and returns when it is on the disk.
func keep(dir string, all [][]byte) error {
	if len(all) == 0 {
		return nil
	}
	text := append(bytes.Join(all, []byte{'\n'}), '\n')
	name := filepath.Join(dir, fmt.Sprintf("%s%d-%d", leftPrefix, time.Now().UnixNano(), os.Getpid()))
	file, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// takeLeft takes over the files that are there, the oldest first.
func takeLeft(dir string) (all []*leftover, err error) {
	names, err := filepath.Glob(filepath.Join(dir, leftPrefix+"*[0-9]"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		l, err := takeFile(name)
		if err != nil {
			for _, l := range all {
				_ = l.file.Close()
			}
			return nil, err
		}
		if l != nil {
			all = append(all, l)
		}
	}
	return all, nil
}

// takeFile takes over one file, unless another process has.
func takeFile(name string) (*leftover, error) {
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	locked, err := filelock.Try(file)
	// Who had it before may have done with it in the meantime.
	if _, there := os.Lstat(name); err == nil && !locked || there != nil {
		return nil, file.Close()
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	l := &leftover{file: file}
	for line := range bytes.Lines(text) {
		l.lines = append(l.lines, bytes.TrimSuffix(line, []byte{'\n'}))
	}
	return l, nil
}

// remove ends the file, of which nothing is left.
func (l *leftover) remove() error {
	return errors.Join(os.Remove(l.file.Name()), l.file.Close())
}
