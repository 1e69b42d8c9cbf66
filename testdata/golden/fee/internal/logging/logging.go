// Package logging writes the log of the service with log/slog: one line, one
// write, no buffer. A log that can't be written never stops the service: lines
// are dropped and counted instead.
package logging

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Log is an open log. Its file, level and format can change while it is in use;
// every logger made from it follows. Its methods may be called from any
// goroutine.
type Log struct {
	output output
	level  slog.LevelVar
	json   atomic.Bool
	logger *slog.Logger

	day     atomic.Int64 // that the file is for, see dayOf; 0: it is for every day
	retry   atomic.Int64 // Unix time in ns before which the file of a new day is not tried again
	telling atomic.Bool  // those in onReopen are being called

	change   sync.Mutex // held while the file changes; guards what follows
	path     string     // "": standard error
	daily    bool       // the file has the day in its name
	failed   int64      // the last day whose file could not be opened
	closed   bool
	onReopen []func(*os.File)
}

// Open opens the log as the settings say: the file, to which it appends and
// which it makes if need be, or standard error if file is "". Settings.File is
// not looked at: the caller decides, who knows the default. With Settings.Daily
// the file is FILE-2006-01-02.EXT of FILE.EXT, another one each day. A symbolic
// link in the place of the file is an error.
func Open(settings Settings, file string) (*Log, error) {
	if err := check(settings); err != nil {
		return nil, err
	}
	day := today(settings, file)
	to, err := openTarget(nameOn(day, file))
	if err != nil {
		return nil, err
	}
	l := &Log{path: file, daily: day != 0}
	l.day.Store(day)
	l.output.target = to
	l.output.notice = l.notice
	l.configure(settings)
	l.logger = slog.New(l.newHandler(&l.output))
	return l, nil
}

// Logger returns the logger of the log. It never blocks for long and reports no
// errors; after Close it drops what it is given.
func (l *Log) Logger() *slog.Logger { return l.logger }

// Reopen opens the file by its name anew and closes the old one, for a log that
// was moved away. No line is lost or torn by it. On an error the old file stays
// in use. On standard error it does nothing. After Close it is an error.
func (l *Log) Reopen() error {
	l.change.Lock()
	defer l.change.Unlock()
	switch {
	case l.closed:
		return os.ErrClosed
	case l.path == "":
		return nil
	}
	var day int64
	if l.daily {
		day = dayOf(time.Now())
	}
	to, err := openTarget(nameOn(day, l.path))
	if err != nil {
		return err
	}
	l.swap(to, day)
	return nil
}

// Prepare does all of a change of settings that can fail. One of commit and
// abort is then to be called, once; neither can fail. A file that stays the
// same is not opened anew. One that is new is made at once, and abort leaves it.
func (l *Log) Prepare(settings Settings, file string) (commit, abort func(), err error) {
	if err := check(settings); err != nil {
		return nil, nil, err
	}
	l.change.Lock()
	defer l.change.Unlock()
	if l.closed {
		return nil, nil, os.ErrClosed
	}
	day := today(settings, file)
	if file == l.path && (day != 0) == l.daily {
		return func() { l.configure(settings) }, func() {}, nil
	}
	to, err := openTarget(nameOn(day, file))
	if err != nil {
		return nil, nil, err
	}
	commit = func() {
		l.change.Lock()
		defer l.change.Unlock()
		l.configure(settings)
		l.path, l.daily = file, day != 0
		l.swap(to, day)
	}
	return commit, func() { _ = to.close() }, nil
}

// File returns the current file, or nil for standard error and after Close. It
// belongs to the log and is closed by the next Reopen, commit of a Prepare, or
// Close, and at the end of its day; who wants to follow these calls OnReopen.
func (l *Log) File() *os.File {
	l.change.Lock()
	defer l.change.Unlock()
	if to := l.output.current(); to != nil {
		return to.file
	}
	return nil
}

// OnReopen has f called after each change of the file, with the new one, or nil
// for standard error. The old file is closed when f has returned. f must not
// call methods of the Log that change it or ask for its file.
func (l *Log) OnReopen(f func(*os.File)) {
	l.change.Lock()
	defer l.change.Unlock()
	l.onReopen = append(l.onReopen, f)
}

// Dropped returns how many lines could not be written so far.
func (l *Log) Dropped() int64 { return l.output.dropped.Load() }

// Close closes the file. It may be called twice.
func (l *Log) Close() error {
	l.change.Lock()
	defer l.change.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	return l.output.close()
}

// swap changes to another target, for a day or for every day; l.change is held.
func (l *Log) swap(to *target, day int64) {
	if l.closed {
		_ = to.close()
		return
	}
	l.day.Store(day)
	old := l.output.swap(to)
	l.telling.Store(true)
	for _, f := range l.onReopen {
		f(to.file)
	}
	l.telling.Store(false)
	_ = old.close()
}

// configure sets what can't fail.
func (l *Log) configure(settings Settings) {
	l.level.Set(levels[settings.Level])
	l.json.Store(settings.Format == "json")
}

// check returns the first fault of the settings.
func check(settings Settings) (err error) {
	settings.Validate(func(key, reason string) {
		if err == nil {
			err = fmt.Errorf("log.%s: %s", key, reason)
		}
	})
	return err
}

// notice returns the line that tells of dropped lines, in the current format.
func (l *Log) notice(dropped int64) []byte {
	var line bytes.Buffer
	record := slog.NewRecord(time.Now(), slog.LevelWarn, "lines of the log could not be written", 0)
	record.AddAttrs(slog.Int64("dropped", dropped))
	_ = l.newHandler(&line).write(context.Background(), record)
	return line.Bytes()
}
