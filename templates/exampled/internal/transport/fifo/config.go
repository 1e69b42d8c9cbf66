// The section [transport.fifo] of the configuration.

package fifo

import (
	"fmt"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

// Config is the section [transport.fifo]. Every key can change while the service
// runs.
type Config struct {
	// Path is that of the fifo; empty: exampled.fifo in the state directory. It is
	// made if it is not there, and never removed: who writes to it while the
	// service does not run waits until it does.
	Path config.Path `toml:"path"`

	// Mode is that of the fifo, of which it is the group's w that lets others write
	// to it.
	Mode config.Mode `toml:"mode"`

	// MaxMessage is the length of the longest message; a longer line is dropped.
	MaxMessage config.Size `toml:"max_message"`
}

// Default returns the section with its defaults.
func Default() transport.Config {
	return &Config{Mode: 0o620, MaxMessage: 64 << 10}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if c.Mode&^0o666 != 0 || c.Mode&0o600 != 0o600 {
		report("mode", fmt.Sprintf(`must let the owner read and write and nobody execute, such as "0620", is %q`, c.Mode))
	}
	if c.MaxMessage < 1 || c.MaxMessage > 1<<30 {
		report("max_message", fmt.Sprintf("must be from 1B to 1GiB, is %s", c.MaxMessage))
	}
}

// Listens implements transport.Config: a fifo is no socket.
func (c *Config) Listens() []transport.Address { return nil }
