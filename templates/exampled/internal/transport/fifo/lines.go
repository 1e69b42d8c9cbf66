// Lines in what is read.

package fifo

import "bytes"

// lines cuts what is read into lines. One that is too long is dropped, up to its
// end.
type lines struct {
	buffer   []byte // read, and not returned yet
	skipping bool   // the rest of a line of which the beginning was dropped
	dropped  int    // lines
}

// add appends what was read.
func (l *lines) add(data []byte) { l.buffer = append(l.buffer, data...) }

// cut returns the lines that are complete, without their ends. What it returns is
// not written to any more.
func (l *lines) cut(limit int) (all [][]byte) {
	end := bytes.LastIndexByte(l.buffer, '\n') + 1
	if end > 0 {
		for rest := bytes.Clone(l.buffer[:end]); len(rest) > 0; {
			i := bytes.IndexByte(rest, '\n')
			line := bytes.TrimSuffix(rest[:i:i], []byte{'\r'})
			rest = rest[i+1:]
			if l.skipping || len(line) > limit {
				l.skipping = false
				l.dropped++
				continue
			}
			all = append(all, line)
		}
		l.buffer = append(l.buffer[:0], l.buffer[end:]...)
	}
	if l.skipping || len(l.buffer) > limit+1 { // the 1 is for "\r"
		l.skipping = true
		l.buffer = l.buffer[:0]
	}
	return all
}

// isWhole reports whether no line has begun that has not ended.
func (l *lines) isWhole() bool { return len(l.buffer) == 0 && !l.skipping }
