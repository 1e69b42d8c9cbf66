// The section [transport.tcp] of the configuration.

package tcp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/transport"
)

// Config is the section [transport.tcp]. Every key can change while the service
// runs; all but max_connections then hold for the open connections as well.
type Config struct {
	// Listen is HOST:PORT. Without a HOST it is every address of the machine,
	// with the PORT 0 a free one.
	Listen string `toml:"listen"`

	// MaxLine is the length of the longest line, without its end.
	MaxLine config.Size `toml:"max_line"`

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
	// line that was read to the reply that was sent: no more are read meanwhile.
	Pipeline int `toml:"pipeline"`
}

// Default returns the section with its defaults.
//
// A max_line of 64KiB is what a bufio.Scanner takes, the usual reader of lines
// in Go; at worst the unfinished lines of all connections take twice that times
// max_connections. A pipeline of 256 lets a single connection fill a batch of
// the workers.
func Default() transport.Config {
	return &Config{
		Listen:         "127.0.0.1:7000",
		MaxLine:        64 << 10,
		IdleTimeout:    config.Duration(5 * time.Minute),
		WriteTimeout:   config.Duration(30 * time.Second),
		MaxConnections: 1000,
		Pipeline:       256,
	}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if err := checkAddress(c.Listen); err != nil {
		report("listen", err.Error())
	}
	if c.MaxLine < 1 || c.MaxLine > 1<<30 {
		report("max_line", fmt.Sprintf("must be from 1B to 1GiB, is %s", c.MaxLine))
	}
	if c.IdleTimeout < 0 {
		report("idle_timeout", fmt.Sprintf("must be 0, for none, or more, is %s", c.IdleTimeout))
	}
	if c.WriteTimeout <= 0 {
		report("write_timeout", fmt.Sprintf("must be more than 0, is %s", c.WriteTimeout))
	}
	if c.MaxConnections < 1 {
		report("max_connections", fmt.Sprintf("must be at least 1, is %d", c.MaxConnections))
	}
	if c.Pipeline < 1 || c.Pipeline > 1<<16 {
		report("pipeline", fmt.Sprintf("must be from 1 to %d, is %d", 1<<16, c.Pipeline))
	}
}

// checkAddress says what is wrong with HOST:PORT, as far as that can be told
// without asking a name server.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("must be HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000, is %q", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("must end in a port from 0 to 65535, is %q", address)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostName(host) {
		return fmt.Errorf("must begin with an address or the name of a host, is %q", address)
	}
	return nil
}

func isHostName(s string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	// What looks like an address in figures must be one.
	return strings.Trim(s, "0123456789.") != ""
}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address {
	return []transport.Address{{Network: "tcp", Address: c.Listen}}
}
