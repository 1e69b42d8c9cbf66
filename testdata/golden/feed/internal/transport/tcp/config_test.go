package tcp

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"example.com/feed/internal/transport"
)

func TestDefault(t *testing.T) {
	c := Default()
	c.Validate(func(key, reason string) { t.Errorf("%s %s", key, reason) })
	want := []transport.Address{{Network: "tcp", Address: "127.0.0.1:7000"}}
	if got := c.Listens(); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
	if c == Default() {
		t.Error("the defaults are shared")
	}
}

func TestValidate(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "localhost")
	_, otherKey := ca.issue(t, "localhost")
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // how each "key reason" begins
	}{
		{"all wrong", func(c *Config) { *c = Config{Listen: "7000"}; c.IdleTimeout = -1 }, []string{
			`listen must be HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000, is "7000"`,
			`framing must be "line" or "length", is ""`,
			"max_message must be from 1B to 1GiB, is 0B",
			"read_timeout must be more than 0, is 0s",
			"idle_timeout must be 0, for none, or more, is -1ns",
			"write_timeout must be more than 0, is 0s",
			"max_connections must be at least 1, is 0",
			"pipeline must be from 1 to 65536, is 0",
		}},
		{"too large", func(c *Config) { c.MaxMessage, c.Pipeline = 1<<30+1, 1<<16+1 }, []string{
			"max_message must be from 1B to 1GiB, is 1073741825B",
			"pipeline must be from 1 to 65536, is 65537",
		}},
		{"no idle timeout", func(c *Config) { c.IdleTimeout = 0 }, nil},
		{"TLS", func(c *Config) { c.Cert, c.Key, c.ClientCA = cert, key, ca.pem }, nil},
		{"no certificate", func(c *Config) { c.Key, c.ClientCA = key, ca.pem }, []string{
			"key is of no use without cert",
			"client_ca is of no use without cert",
		}},
		{"no key", func(c *Config) { c.Cert = cert }, []string{"cert is of no use without key"}},
		{"key of another", func(c *Config) { c.Cert, c.Key = cert, otherKey }, []string{
			"cert must be certificates in PEM form, that of the service first, whose private key is in key: ",
		}},
		{"no PEM", func(c *Config) { c.Cert, c.Key, c.ClientCA = "x", "y", "z" }, []string{
			"cert must be certificates in PEM form",
			"client_ca must be certificates in PEM form, has none",
		}},
		{"addresses", func(c *Config) { c.Allow = []string{"192.0.2.7", "10.0.0.0/8", "::1", "2001:db8::/32"} }, nil},
		{"no address", func(c *Config) { c.Allow = []string{"::1", "localhost"} }, []string{
			`allow must have addresses, such as 192.0.2.7, and prefixes, such as 2001:db8::/32, has "localhost"`,
		}},
		{"an address in another", func(c *Config) { c.Allow = []string{"::ffff:192.0.2.7"} }, []string{
			`allow must have IPv4 addresses as such, such as 192.0.2.7, has "::ffff:192.0.2.7"`,
		}},
		{"an address with a zone", func(c *Config) { c.Allow = []string{"fe80::1%eth0"} }, []string{"allow must have addresses"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default().(*Config)
			test.change(c)
			var got []string
			c.Validate(func(key, reason string) { got = append(got, key+" "+reason) })
			if !slices.EqualFunc(got, test.want, strings.HasPrefix) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestValidateListen(t *testing.T) {
	const (
		noPort = "must be HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000, is "
		port   = "must end in a port from 0 to 65535, is "
		host   = "must begin with an address or the name of a host, is "
	)
	for listen, want := range map[string]string{
		"127.0.0.1:7000":     "",
		"[::1]:0":            "",
		"[fe80::1%eth0]:7":   "",
		":7000":              "",
		"localhost:65535":    "",
		"a-1.example.com.:1": "",

		"":                   noPort,
		"127.0.0.1":          noPort,
		"::1:7000":           noPort,
		"/run/sock":          noPort,
		"127.0.0.1:":         port,
		"127.0.0.1:http":     port,
		"127.0.0.1:65536":    port,
		"127.0.0.1:-1":       port,
		"256.0.0.1:7000":     host,
		"127.0.0.:7000":      host,
		"tcp://localhost:70": noPort,
		"local host:7000":    host,
		"[localhost%]:7000":  host,
		"a..b:7000":          host,
	} {
		err := checkAddress(listen)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", listen, err)
		case want != "" && (err == nil || err.Error() != want+strconv.Quote(listen)):
			t.Errorf("%q: %v, want %s…", listen, err, want)
		}
	}
}
