// The section [worker] of the configuration.

package worker

import (
	"fmt"
	"time"

	"example.com/fee/internal/config"
)

// Settings is the section [worker]. What does not say otherwise can change while
// the pool runs.
type Settings struct {
	// Count is how many workers there are: how many messages, or batches, are
	// with the handler at once.
	Count int `toml:"count"`

	// Queue is how many messages may wait, those included that wait for their
	// next attempt or for one with the same key. Beyond it the transports are
	// held back.
	Queue int `toml:"queue"`

	// QueueBytes is how large all messages in the pool may be together, those
	// included that are with the handler. Beyond it the transports are held back.
	QueueBytes config.Size `toml:"queue_bytes"`

	// Batch is the most messages that a BatchHandler gets at once, and BatchBytes
	// how large they may be together. A larger message comes alone.
	Batch      int         `toml:"batch"`
	BatchBytes config.Size `toml:"batch_bytes"`

	// Attempts is how often a message is handed to the handler before it has
	// failed for good. An attempt as part of a batch does not count, nor does one
	// for which something is unavailable.
	Attempts int `toml:"attempts"`

	// Timeout is how long an attempt may take until its context ends.
	Timeout config.Duration `toml:"timeout"`

	// Backoff bounds the pause after the first failed attempt. The bound
	// doubles with each further one, up to BackoffMax; the pause is a random
	// part of it. So are the pauses of the whole pool while something is
	// unavailable.
	Backoff    config.Duration `toml:"backoff"`
	BackoffMax config.Duration `toml:"backoff_max"`

	// OrderedBy is the kind of key that keeps messages in order, see
	// transport.Keyed; "": none. A pool keeps that which it was made with.
	OrderedBy string `toml:"ordered_by" reload:"restart"`
}

// maxBatch leaves a handler room in one statement: SQLite takes 32766
// parameters, MySQL and PostgreSQL 65535.
const maxBatch = 10000

// Default returns the settings that hold where the configuration says nothing.
//
// Count is made for handlers that wait for something. With a BatchHandler it
// does no harm, because batches grow before a second one starts (see Pool): 64
// peers that store to SQLite, each waiting for its answer, got 123000 messages a
// second through 16 workers and 121000 through one. Without that rule 16 workers
// came to 22000, with a transaction for each message to 6100.
func Default() *Settings {
	return &Settings{
		Count:      16,
		Queue:      1024,
		QueueBytes: 8 << 20,
		Batch:      256,
		BatchBytes: 1 << 20,
		Attempts:   3,
		Timeout:    config.Duration(30 * time.Second),
		Backoff:    config.Duration(100 * time.Millisecond),
		BackoffMax: config.Duration(5 * time.Second),
	}
}

// Validate implements config.Section.
func (s *Settings) Validate(report func(key, reason string)) {
	inRange := func(key string, value, least, most int) {
		switch {
		case value < least:
			report(key, fmt.Sprintf("must be at least %d, is %d", least, value))
		case value > most:
			report(key, fmt.Sprintf("must be at most %d, is %d", most, value))
		}
	}
	inRange("count", s.Count, 1, 10000)
	inRange("queue", s.Queue, 1, 1<<24)
	inRange("batch", s.Batch, 1, maxBatch)
	if s.QueueBytes < 1 {
		report("queue_bytes", "must be more than 0B")
	}
	if s.BatchBytes < 1 || s.BatchBytes > s.QueueBytes {
		report("batch_bytes", fmt.Sprintf("must be more than 0B, and at most queue_bytes, %s, is %s", s.QueueBytes, s.BatchBytes))
	}
	inRange("attempts", s.Attempts, 1, 1000)
	if s.Timeout <= 0 {
		report("timeout", fmt.Sprintf("must be more than 0s, is %s", s.Timeout))
	}
	if s.Backoff <= 0 {
		report("backoff", fmt.Sprintf("must be more than 0s, is %s", s.Backoff))
	}
	if s.BackoffMax < s.Backoff {
		report("backoff_max", fmt.Sprintf("must be at least backoff, %s, is %s", s.Backoff, s.BackoffMax))
	}
}
