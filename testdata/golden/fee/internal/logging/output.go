// The sequence of lines on its way to a target that may fail and may change.

package logging

import (
	"bytes"
	"sync"
	"sync/atomic"
)

// output writes lines, one at a time, and drops those that it can't write. Once
// a line can be written again, a notice of the loss goes before it.
type output struct {
	notice  func(dropped int64) []byte
	dropped atomic.Int64

	mu       sync.Mutex // guards what follows, and is held while writing
	target   *target    // nil: closed
	untold   int64      // lines dropped since the last notice
	unended  bool       // the last line broke off: what comes next begins a new one
	extended []byte     // scratch
}

// Write implements io.Writer for the handlers of slog, which call it with one
// line. It returns no error: there is nobody to hear it.
func (o *output) Write(line []byte) (int, error) {
	o.writeLines(line)
	return len(line), nil
}

// writeLines writes one line or more with one write. If not all of it can be written,
// all counts as dropped.
func (o *output) writeLines(lines []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.tell() || !o.write(lines) {
		n := int64(max(1, bytes.Count(lines, []byte("\n"))))
		o.untold += n
		o.dropped.Add(n)
	}
}

// tell writes the notice of dropped lines, if there are any; o.mu is held.
func (o *output) tell() bool {
	if o.untold > 0 && o.write(o.notice(o.untold)) {
		o.untold = 0
	}
	return o.untold == 0
}

// write reports whether the line was written as a whole; o.mu is held.
func (o *output) write(line []byte) bool {
	if o.target == nil {
		return false
	}
	if o.unended {
		o.extended = append(append(o.extended[:0], '\n'), line...)
		line = o.extended
	}
	n, err := o.target.write(line)
	if n > 0 {
		o.unended = line[n-1] != '\n'
	}
	return err == nil
}

// swap changes to another target, between two lines, and returns the old one.
func (o *output) swap(to *target) (old *target) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old, o.target = o.target, to
	return old
}

func (o *output) current() *target {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.target
}

func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tell()
	old := o.target
	o.target = nil
	return old.close()
}
