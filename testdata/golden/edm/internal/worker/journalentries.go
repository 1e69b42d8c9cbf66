// What the file of a journal says.

package worker

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// A mark stands for a message in the journal: whatever its ID is, it has one
// length, and fits into a line.
type mark [16]byte

func markOf(transport, id string) mark {
	sum := sha256.Sum256([]byte(transport + "\x00" + id))
	return mark(sum[:])
}

// entries are what a journal knows. In the file each line is one of
//
//   - MARK                an attempt began
//   - MARK                one ended
//     = MARK COUNT SECONDS  so many processes died during one, the last at this
//     time (Unix); 0: that is of no interest any more
//
// Goals: a line is written at once, and one that was not written to its end
// takes no other with it. Non-goal: to be read by a person.
type entries struct {
	deaths  map[mark]death
	running map[mark]int // how many attempts
}

type death struct {
	count int
	last  int64 // Unix time
}

func newEntries() entries {
	return entries{deaths: make(map[mark]death), running: make(map[mark]int)}
}

// run adds to the number of attempts that are running with a message.
func (e *entries) run(m mark, change int) {
	if n := e.running[m] + change; n > 0 {
		e.running[m] = n
	} else {
		delete(e.running, m)
	}
}

// end says that the process died at a time.
func (e *entries) end(at time.Time) {
	for m := range e.running {
		e.deaths[m] = death{e.deaths[m].count + 1, at.Unix()}
	}
	clear(e.running)
}

// add adds the deaths of another process.
func (e *entries) add(other entries) {
	for m, d := range other.deaths {
		have := e.deaths[m]
		e.deaths[m] = death{min(have.count+d.count, maxCount), max(have.last, d.last)}
	}
}

// prune forgets the deaths that are too old, and of those that are too many the
// oldest.
func (e *entries) prune(now time.Time) {
	oldest := now.Add(-maxAge).Unix()
	maps.DeleteFunc(e.deaths, func(_ mark, d death) bool { return d.last < oldest })
	if len(e.deaths) <= maxDeaths {
		return
	}
	byAge := slices.SortedFunc(maps.Keys(e.deaths), func(a, b mark) int {
		return cmp.Or(cmp.Compare(e.deaths[a].last, e.deaths[b].last), bytes.Compare(a[:], b[:]))
	})
	for _, m := range byAge[:len(byAge)-maxDeaths] {
		delete(e.deaths, m)
	}
}

// encode returns the lines that say the same.
func (e *entries) encode() []byte {
	var lines []byte
	for m, d := range e.deaths {
		lines = appendDeath(lines, m, d)
	}
	for m, n := range e.running {
		for range n {
			lines = appendRun(lines, m, 1)
		}
	}
	return lines
}

func appendRun(lines []byte, m mark, change int) []byte {
	sign := byte('+')
	if change < 0 {
		sign = '-'
	}
	lines = append(lines, sign, ' ')
	lines = hex.AppendEncode(lines, m[:])
	return append(lines, '\n')
}

func appendDeath(lines []byte, m mark, d death) []byte {
	return fmt.Appendf(lines, "= %x %d %d\n", m[:], d.count, d.last)
}

// maxCount is more deaths than any number of attempts.
const maxCount = 1 << 20

// parseEntries reads lines. What is no line, such as a last one without its end, it
// passes over.
func parseEntries(text []byte) entries {
	e := newEntries()
	for len(text) > 0 {
		line, rest, whole := bytes.Cut(text, []byte{'\n'})
		text = rest
		if whole {
			e.parse(line)
		}
	}
	return e
}

func (e *entries) parse(line []byte) {
	fields := bytes.Split(line, []byte{' '})
	var m mark
	if len(fields) < 2 || len(fields[1]) != hex.EncodedLen(len(m)) {
		return
	}
	if _, err := hex.Decode(m[:], fields[1]); err != nil {
		return
	}
	switch kind := string(fields[0]); {
	case kind == "+" && len(fields) == 2:
		e.run(m, 1)
	case kind == "-" && len(fields) == 2:
		e.run(m, -1)
	case kind == "=" && len(fields) == 4:
		count, err1 := strconv.Atoi(string(fields[2]))
		last, err2 := strconv.ParseInt(string(fields[3]), 10, 64)
		if err1 != nil || err2 != nil || count < 0 || count > maxCount {
			return
		}
		e.deaths[m] = death{count, last}
		if count == 0 {
			delete(e.deaths, m)
		}
	}
}
