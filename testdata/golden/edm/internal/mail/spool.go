package mail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// A Spool is a folder of mails, a file for each: ID.eml, which is whole when it has
// that name. Whoever takes a mail from there removes or moves its file. One that is
// delivered again has the same name, if the transport knows it, and so is one file.
type Spool struct{ folder string }

// OpenSpool returns the spool in a folder, which it makes if it is not there.
func OpenSpool(folder string) (*Spool, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("the spool: %w", err)
	}
	probe, err := os.CreateTemp(folder, ".writable-*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return nil, fmt.Errorf("the spool must be writable: %w", err)
	}
	return &Spool{folder}, nil
}

// together is how many files are written at once: the disk takes them all with one
// flush, or a few.
const together = 8

// Send writes the mails. Each that has no error is on the disk.
func (s *Spool) Send(ctx context.Context, mails []Mail) []error {
	errs := make([]error, len(mails))
	next := make(chan int, len(mails))
	for i := range mails {
		next <- i
	}
	close(next)
	var writers sync.WaitGroup
	for range min(together, len(mails)) {
		writers.Go(func() {
			for i := range next {
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = s.write(&mails[i])
				}
			}
		})
	}
	writers.Wait()
	if err := s.sync(); err != nil {
		for i := range errs {
			errs[i] = errors.Join(errs[i], err)
		}
	}
	return errs
}

// write writes a mail; its name is on the disk after sync.
func (s *Spool) write(m *Mail) error {
	if m.Err != nil {
		return m.Err
	}
	file, err := os.CreateTemp(s.folder, ".new-*")
	if err != nil {
		return spoolError(err)
	}
	_, err = file.Write(m.Text)
	if err == nil {
		err = file.Chmod(0o600)
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(s.folder, m.ID+".eml"))
	}
	if err != nil {
		return spoolError(errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// sync has the names of the files on the disk.
func (s *Spool) sync() error {
	folder, err := os.Open(s.folder)
	if err != nil {
		return spoolError(err)
	}
	return spoolError(errors.Join(folder.Sync(), folder.Close()))
}

// spoolError blames the folder, and not the mail: it may be full, or have lost its
// rights, until somebody looks.
func spoolError(err error) error {
	if err == nil {
		return nil
	}
	return unavailableError{fmt.Errorf("the spool: %w", err)}
}
