// The keys of messages, by which a handler knows one that it has had before.

package worker

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"example.com/job/internal/transport"
)

// longestKey is the length of the longest key, in bytes: what each database takes
// in a column that is unique.
const longestKey = 255

// identify notes the key of the i-th job, if it has one. The slice is new each
// time, since the handler has it.
func (w *worker) identify(i int, j *job) {
	m, ok := j.message.(transport.Identified)
	if !ok {
		return
	}
	if id := m.ID(); id != "" {
		if w.keys == nil {
			w.keys = make([]string, len(w.jobs))
		}
		w.keys[i] = key(j.from.transport, id)
	}
}

// key is the name of a message among those of all transports, as text that any
// database takes. What is too long, or no text, has a hash in its place.
func key(transport, id string) string {
	prefix := ""
	if transport != "" {
		prefix = transport + ":"
	}
	if len(prefix)+len(id) > longestKey || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		sum := sha256.Sum256([]byte(id))
		id = "sha256:" + hex.EncodeToString(sum[:])
	}
	return prefix + id
}
