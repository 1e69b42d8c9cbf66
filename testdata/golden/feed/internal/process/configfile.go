package process

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ConfigFile is the configuration file of the daemon. The user that the daemon
// has become may not be able to open it, so the starter leaves it open; the
// descriptor is kept only where it is needed. It is for one goroutine.
type ConfigFile struct {
	path string
	file *os.File // as the starter has opened it; nil: there is none, or no need of it

	written, changed time.Time // mtime and ctime (inode(7)) when it was last read
}

// AddConfiguration hands on the configuration file, open. Without a file it does
// nothing.
func (h *Handover) AddConfiguration() error {
	if h.Config == "" {
		return nil
	}
	file, err := os.Open(h.Config)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	h.Add(fdConfiguration, file)
	return nil
}

// ConfigFile takes over the configuration file from the starter.
func (h *Handover) ConfigFile() *ConfigFile {
	return &ConfigFile{path: h.Config, file: h.Take(fdConfiguration)}
}

// handOn gives the open file, if there is one, to the process that h describes.
func (c *ConfigFile) handOn(h *Handover) error {
	if c.file == nil {
		return nil
	}
	file, err := duplicateFile(c.file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	h.Add(fdConfiguration, file)
	return nil
}

// Read returns what the file holds, up to a byte more than limit. It returns nil
// if the file can be opened by its path, or there is none: then that is the way
// to read it. The error is an fs.ErrPermission if the file at the path is
// another one by now, which only its owner can read.
func (c *ConfigFile) Read(limit int64) ([]byte, error) {
	if c.file == nil {
		return nil, nil
	}
	err := tryOpen(c.path)
	if err == nil {
		_ = c.file.Close()
		c.file = nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err := c.checkInPlace(); err != nil {
		return nil, err
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(c.file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return text, nil
}

// tryOpen tells why the file can't be opened; nil: it can.
func tryOpen(path string) error {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		_ = file.Close()
	}
	return err
}

// Offer has another file read from now on, which somebody else has opened at the
// path: that which is there by now, and which this user can't open. It reports
// whether the file was taken. Of two who offer different files at the same moment,
// the later counts.
func (c *ConfigFile) Offer(file *os.File) bool {
	if !errors.Is(tryOpen(c.path), fs.ErrPermission) {
		return false
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || isRemoved(info) {
		return false
	}
	if c.file != nil {
		if mine, err := c.file.Stat(); err == nil && os.SameFile(mine, info) {
			return false
		}
		_ = c.file.Close()
	}
	*c = ConfigFile{path: c.path, file: file}
	return true
}

// checkInPlace makes as sure as one can who may not open what is at the path that
// the open file is still the one there. One that another file has replaced is
// linked nowhere; one that was moved aside has changed since it was read, though
// not in its contents; and where a link leads to, one may see who may search the
// folders.
func (c *ConfigFile) checkInPlace() error {
	info, err := c.file.Stat()
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	written, changed := info.ModTime(), changeTime(info.Sys().(*syscall.Stat_t))
	moved := !c.written.IsZero() && written.Equal(c.written) && !changed.Equal(c.changed)
	there, err := os.Stat(c.path)
	elsewhere := err == nil && !os.SameFile(there, info)
	if isRemoved(info) || moved || elsewhere {
		return fmt.Errorf("%s was replaced by a file that this user can't read; the command reload can, as its owner: %w",
			c.path, fs.ErrPermission)
	}
	c.written, c.changed = written, changed
	return nil
}

// isRemoved reports whether a file has no name any more.
func isRemoved(info fs.FileInfo) bool { return info.Sys().(*syscall.Stat_t).Nlink == 0 }
