// What a section of the configuration says of connections, whatever they are
// made of.

package stream

import (
	"fmt"
	"time"

	"example.com/feed/internal/config"
)

// Settings are the keys that the sections of all transports of this package have.
// Every one can change while the service runs; all but max_connections and framing
// then hold for the open connections as well.
type Settings struct {
	// Framing says where a message ends: FramingLine or FramingLength.
	Framing string `toml:"framing"`

	// MaxMessage is the length of the longest message, without what frames it.
	MaxMessage config.Size `toml:"max_message"`

	// ReadTimeout ends a connection on which a message that was begun is not
	// complete after so long, and one that takes longer to make itself secure.
	ReadTimeout config.Duration `toml:"read_timeout"`

	// IdleTimeout ends a connection that has had no message under way for so
	// long; 0 is never.
	IdleTimeout config.Duration `toml:"idle_timeout"`

	// WriteTimeout ends a connection whose peer has taken no byte of its
	// replies for so long.
	WriteTimeout config.Duration `toml:"write_timeout"`

	// MaxConnections is how many connections are served at a time; what comes
	// above is closed at once.
	MaxConnections int `toml:"max_connections"`

	// Pipeline is how many messages of a connection may be under way, from the
	// one that was read to the reply that was sent: no more are read meanwhile.
	Pipeline int `toml:"pipeline"`
}

// DefaultSettings returns the settings with their defaults.
//
// A max_message of 64KiB is what a bufio.Scanner takes, the usual reader of lines
// in Go; at worst the unfinished messages of all connections take twice that times
// max_connections. A pipeline of 256 lets a single connection fill a batch of
// the workers.
func DefaultSettings() Settings {
	return Settings{
		Framing:        FramingLine,
		MaxMessage:     64 << 10,
		ReadTimeout:    config.Duration(30 * time.Second),
		IdleTimeout:    config.Duration(5 * time.Minute),
		WriteTimeout:   config.Duration(30 * time.Second),
		MaxConnections: 1000,
		Pipeline:       256,
	}
}

// Validate implements config.Section.
func (s *Settings) Validate(report func(key, reason string)) {
	if framings[s.Framing] == nil {
		report("framing", fmt.Sprintf("must be %q or %q, is %q", FramingLine, FramingLength, s.Framing))
	}
	if s.MaxMessage < 1 || s.MaxMessage > 1<<30 {
		report("max_message", fmt.Sprintf("must be from 1B to 1GiB, is %s", s.MaxMessage))
	}
	if s.ReadTimeout <= 0 {
		report("read_timeout", fmt.Sprintf("must be more than 0, is %s", s.ReadTimeout))
	}
	if s.IdleTimeout < 0 {
		report("idle_timeout", fmt.Sprintf("must be 0, for none, or more, is %s", s.IdleTimeout))
	}
	if s.WriteTimeout <= 0 {
		report("write_timeout", fmt.Sprintf("must be more than 0, is %s", s.WriteTimeout))
	}
	if s.MaxConnections < 1 {
		report("max_connections", fmt.Sprintf("must be at least 1, is %d", s.MaxConnections))
	}
	if s.Pipeline < 1 || s.Pipeline > 1<<16 {
		report("pipeline", fmt.Sprintf("must be from 1 to %d, is %d", 1<<16, s.Pipeline))
	}
}

// byConnection is the kind of key that keeps the messages of a connection in
// order. Their replies are in order anyway.
const byConnection = "connection"

// Keys implements transport.KeyedConfig.
func (s *Settings) Keys() []string { return []string{byConnection} }
