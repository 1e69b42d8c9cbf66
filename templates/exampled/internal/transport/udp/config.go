// The section [transport.udp] of the configuration.

package udp

import (
	"fmt"
	"net"
	"strconv"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
)

// Config is the section [transport.udp]. Every key can change while the service
// runs.
type Config struct {
	// Listen is HOST:PORT. Without a HOST it is every address of the machine,
	// with the PORT 0 a free one.
	Listen string `toml:"listen"`

	// MaxMessage is the length of the longest message; a longer one is dropped.
	MaxMessage config.Size `toml:"max_message"`

	// ReceiveBuffer is how much the kernel may keep of what has arrived and is not
	// read yet; 0 is the kernel's own default. It drops what has no room.
	ReceiveBuffer config.Size `toml:"receive_buffer"`

	// Reply has the sender of a message get the reply to it.
	Reply bool `toml:"reply"`
}

// largest is the most that a datagram can carry: an IPv6 packet of 65535 bytes
// after its header, less the 8 of UDP's own.
const largest = 65527

// Default returns the section with its defaults.
//
// A receive_buffer of 1MiB holds what arrives at 100,000 messages a second of 100
// bytes in the 30 ms that a slow commit takes; the kernel counts some 800 bytes
// for each of these.
func Default() transport.Config {
	return &Config{
		Listen:        "127.0.0.1:7001",
		MaxMessage:    8 << 10,
		ReceiveBuffer: 1 << 20,
		Reply:         true,
	}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		report("listen", fmt.Sprintf("must be HOST:PORT, such as 127.0.0.1:7001 or [::1]:7001, is %q", c.Listen))
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		report("listen", fmt.Sprintf("must end in a port from 0 to 65535, is %q", c.Listen))
	}
	if c.MaxMessage < 1 || c.MaxMessage > largest {
		report("max_message", fmt.Sprintf("must be from 1B to %dB, is %s", largest, c.MaxMessage))
	}
	if c.ReceiveBuffer < 0 || c.ReceiveBuffer > 1<<30 {
		report("receive_buffer", fmt.Sprintf("must be at most 1GiB, is %s", c.ReceiveBuffer))
	}
}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address {
	return []transport.Address{{Network: "udp", Address: c.Listen}}
}
