// The section [transport.tcp] of the configuration.

package tcp

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/stream"
)

// Config is the section [transport.tcp]. Every key can change while the service
// runs. Those of TLS and allow hold for the connections that come then.
type Config struct {
	// Listen is HOST:PORT. Without a HOST it is every address of the machine,
	// with the PORT 0 a free one.
	Listen string `toml:"listen"`

	stream.Settings

	// Cert is the certificate of the service, with those that lead to its
	// authority, in PEM form, and Key the private key. With them the connections
	// are secured by TLS, of version 1.2 at least. They come from files,
	// cert_file and key_file, as secrets do: so they may be for root alone, are
	// the same for all of a configuration, and are read again by a reload.
	Cert config.Secret `toml:"cert"`
	Key  config.Secret `toml:"key"`

	// ClientCA are the authorities of which one must have signed the certificate
	// of a peer; empty: peers need none.
	ClientCA config.Secret `toml:"client_ca"`

	// Allow are the addresses, or prefixes of them, that peers may connect from;
	// empty: any.
	Allow []string `toml:"allow"`
}

// Default returns the section with its defaults.
func Default() transport.Config {
	return &Config{Listen: "127.0.0.1:7000", Settings: stream.DefaultSettings()}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if err := checkAddress(c.Listen); err != nil {
		report("listen", err.Error())
	}
	c.Settings.Validate(report)
	c.validateTLS(report)
	if _, err := parsePrefixes(c.Allow); err != nil {
		report("allow", err.Error())
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
