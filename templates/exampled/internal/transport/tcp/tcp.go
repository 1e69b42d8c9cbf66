// Package tcp serves peers that send messages over TCP, with TLS if the service
// has a certificate:
//
//	$ printf 'one\ntwo\n' | nc -N 127.0.0.1 7000
//	TRUE
//	TRUE
//
// By default a message is a line, and so is its reply. How messages come and
// replies go, package stream says.
package tcp

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/stream"
)

var (
	_ stream.Config         = (*Config)(nil)
	_ transport.KeyedConfig = (*Config)(nil)
)

// New implements transport.Config.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	t, err := stream.New(c, env)
	if err != nil {
		return nil, err // not t: it would be an interface that is not nil
	}
	return t, nil
}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address {
	return []transport.Address{{Network: "tcp", Address: c.Listen}}
}

// Stream implements stream.Config.
func (c *Config) Stream() stream.Settings { return c.Settings }

// Endpoint implements stream.Config.
func (c *Config) Endpoint() (*stream.Endpoint, error) {
	e := &stream.Endpoint{Name: "tcp", Network: "tcp", Address: c.Listen, Key: "listen"}
	if len(c.Allow) > 0 {
		prefixes, err := parsePrefixes(c.Allow)
		if err != nil {
			return nil, err
		}
		e.Admit = func(nc net.Conn) error { return admit(prefixes, nc.RemoteAddr()) }
	}
	if c.Cert != "" {
		wrap, err := c.secure()
		if err != nil {
			return nil, err
		}
		e.Wrap = wrap
	}
	return e, nil
}

// admit says why a peer at the address may not connect; nil: it may.
func admit(prefixes []netip.Prefix, address net.Addr) error {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("the peer has no IP address, but %s", address)
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, prefix := range prefixes {
		if prefix.Contains(ip) {
			return nil
		}
	}
	return fmt.Errorf("%s is not in the list allow", ip)
}

// parsePrefixes reads addresses and prefixes: 192.0.2.7, 2001:db8::/32.
func parsePrefixes(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if ip, ipErr := netip.ParseAddr(text); ipErr == nil && ip.Zone() == "" {
			prefix, err = ip.Prefix(ip.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("must have addresses, such as 192.0.2.7, and prefixes, such as 2001:db8::/32, has %q", text)
		}
		if prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("must have IPv4 addresses as such, such as 192.0.2.7, has %q", text)
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}
