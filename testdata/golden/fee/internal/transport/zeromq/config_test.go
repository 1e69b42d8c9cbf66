package zeromq

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"example.com/fee/internal/config"
	"example.com/fee/internal/leftout"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/zeromq/zmtp"
)

func TestDefault(t *testing.T) {
	c := Default().(*Config)
	c.Validate(func(key, reason string) { t.Errorf("%s %s", key, reason) })
	want := []transport.Address{{Network: "tcp", Address: "127.0.0.1:5555"}}
	if got := c.Listens(); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
	c.Bind[0] = "tcp://127.0.0.1:1"
	if got := Default().Listens(); !slices.Equal(got, want) {
		t.Error("the defaults are shared")
	}
	if got := c.Keys(); !slices.Equal(got, []string{"connection"}) {
		t.Errorf("keys %q", got)
	}
}

func TestListens(t *testing.T) {
	c := Config{Bind: []string{"tcp://*:5555", "ipc:///run/feed/s", "tcp://[::1]:80"}, Connect: []string{"tcp://other:5555"}}
	want := []transport.Address{{Network: "tcp", Address: ":5555"}, {Network: "unix", Address: "/run/feed/s"}, {Network: "tcp", Address: "[::1]:80"}}
	if got := c.Listens(); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
}

// Who binds a socket in a file for the service gives it to the user of the service.
func TestOwn(t *testing.T) {
	leftout.Root(t)
	c := testConfig()
	if err := c.Own(&net.TCPAddr{Port: 5555}, 4711, 4712); err != nil {
		t.Error(err)
	}
	path := strings.TrimPrefix(socketFile(t), "ipc://")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := c.Own(l.Addr(), 4711, 4712); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 4711 || stat.Gid != 4712 {
		t.Errorf("it is of user %d, group %d", stat.Uid, stat.Gid)
	}
	_ = l.Close()
	if err := c.Own(l.Addr(), 4711, 4712); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file has gone: %v", err)
	}
}

func TestValidate(t *testing.T) {
	public := zmtp.NewKey().Public().Text()
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // "key reason"
	}{
		{"all wrong", func(c *Config) {
			*c = Config{HeartbeatInterval: -1, Linger: -1}
		}, []string{
			`pattern must be one of rep, pull, sub, is ""`,
			`multipart must be one of refuse, join, last, is ""`,
			`mechanism must be one of null, plain, curve, is ""`,
			"bind must have an address, or else connect must",
			"max_message must be from 1B to 1GiB, is 0B",
			"max_parts must be from 2 to 65536, is 0",
			"max_connections must be from 1 to 65536, is 0",
			"pipeline must be from 1 to 65536, is 0",
			"handshake_timeout must be more than 0, is 0s",
			"heartbeat_timeout must be more than 0, is 0s",
			"write_timeout must be more than 0, is 0s",
			"reconnect must be more than 0, is 0s",
			"reconnect_max must be more than 0, is 0s",
			"heartbeat_interval must be 0, for none, or more, is -1ns",
			"linger must be 0 or more, is -1ns",
		}},
		{"limits", func(c *Config) {
			c.MaxMessage, c.MaxParts, c.MaxConnections, c.Pipeline = 1<<30+1, 1, 1<<16+1, 1<<16+1
			c.HeartbeatInterval, c.HeartbeatTimeout = 2e9, 2e9
			c.Reconnect, c.ReconnectMax = 2e9, 1e9
			c.Topics = []string{"", strings.Repeat("t", 256)}
		}, []string{
			"topics must have at most 255 bytes each, one has 256",
			"max_message must be from 1B to 1GiB, is 1073741825B",
			"max_parts must be from 2 to 65536, is 1",
			"max_connections must be from 1 to 65536, is 65537",
			"pipeline must be from 1 to 65536, is 65537",
			"heartbeat_timeout must be more than heartbeat_interval, which is 2s, is 2s",
			"reconnect_max must be at least reconnect, which is 2s, is 1s",
		}},
		{"no heartbeats", func(c *Config) { c.HeartbeatInterval, c.HeartbeatTimeout = 0, 1 }, nil},
		{"nothing to wait for", func(c *Config) { c.Linger = 0 }, nil},
		{"connects only", func(c *Config) { c.Bind, c.Connect = nil, []string{"tcp://a:1", "ipc:///a"} }, nil},
		{"addresses", func(c *Config) {
			c.Bind = []string{"tcp://*:*", "ipc:///a", "ipc:///a"}
			c.Connect = []string{"tcp://*:1", "tcp://a:*"}
		}, []string{
			`bind has "ipc:///a" twice`,
			`connect must name a host and a port to connect to, is "tcp://*:1"`,
			`connect must name a host and a port to connect to, is "tcp://a:*"`,
		}},
		{"plain without", func(c *Config) { c.Mechanism, c.Username = plain, strings.Repeat("u", 256) }, []string{
			"username must have from 1 to 255 bytes with the mechanism plain, has 256",
			"password must have from 1 to 255 bytes with the mechanism plain, has 0",
		}},
		{"plain", func(c *Config) { c.Mechanism, c.Username, c.Password = plain, "u", "p" }, nil},
		{"curve without", func(c *Config) { c.Mechanism, c.Connect = curve, []string{"tcp://a:1"} }, []string{
			"secret_key must be a key of 40 characters in Z85, has 0; the mechanism curve needs it",
			"server_public_key must be a key of 40 characters in Z85, has 0; the mechanism curve needs it to connect",
			`client_public_keys must say who may connect with the mechanism curve, or have "*" for everybody who knows our public key`,
		}},
		{"curve, wrong keys", func(c *Config) {
			c.Mechanism, c.SecretKey, c.ClientPublicKeys = curve, config.Secret(zmtp.NewKey().Text()), []string{"*", "short"}
		}, []string{`client_public_keys must be a key of 40 characters in Z85, has 5, is "short"`}},
		{"curve", func(c *Config) {
			c.Mechanism, c.SecretKey, c.ClientPublicKeys = curve, config.Secret(zmtp.NewKey().Text()), []string{public}
			c.Connect, c.ServerPublicKey = []string{"tcp://a:1"}, public
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default().(*Config)
			test.change(c)
			var got []string
			c.Validate(func(key, reason string) { got = append(got, key+" "+reason) })
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestParseAddress(t *testing.T) {
	const (
		form = `must be tcp://HOST:PORT or ipc:///PATH, such as tcp://127.0.0.1:5555, is `
		path = `must be ipc:// and an absolute path, such as ipc:///run/feed/feed.ipc, is `
	)
	for text, want := range map[string]address{
		"tcp://127.0.0.1:5555": {"tcp", "127.0.0.1:5555"},
		"tcp://*:5555":         {"tcp", ":5555"},
		"tcp://localhost:*":    {"tcp", "localhost:0"},
		"tcp://[::1]:0":        {"tcp", "[::1]:0"},
		"ipc:///a/b":           {"unix", "/a/b"},
	} {
		if got, err := parseAddress(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                       form + `""`,
		"127.0.0.1:5555":                         form + `"127.0.0.1:5555"`,
		"udp://127.0.0.1:5555":                   form + `"udp://127.0.0.1:5555"`,
		"tcp://127.0.0.1":                        form + `"tcp://127.0.0.1"`,
		"tcp://127.0.0.1:65536":                  `must end in a port from 0 to 65535, or in *, is "tcp://127.0.0.1:65536"`,
		"tcp://127.0.0.1:http":                   `must end in a port from 0 to 65535, or in *, is "tcp://127.0.0.1:http"`,
		"tcp://:5555":                            `must have an address or the name of a host, or *, is "tcp://:5555"`,
		"tcp://1.2.3:5555":                       `must have an address or the name of a host, or *, is "tcp://1.2.3:5555"`,
		"tcp://a b:5555":                         `must have an address or the name of a host, or *, is "tcp://a b:5555"`,
		"ipc://a":                                path + `"ipc://a"`,
		"ipc:///a/../b":                          path + `"ipc:///a/../b"`,
		"ipc:///" + strings.Repeat("a", maxPath): `must have a path of at most 103 bytes, has 104: "ipc:///` + strings.Repeat("a", maxPath) + `"`,
	} {
		if got, err := parseAddress(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
}

// Neither a password nor a secret key is in an error, a log or a dump of the
// section.
func TestSecretsStaySecret(t *testing.T) {
	const marker = "hunter2-marker"
	c := Default().(*Config)
	c.Mechanism, c.Username, c.Password, c.SecretKey = plain, "u", marker, marker
	c.Validate(func(key, reason string) { t.Errorf("%s %s", key, reason) })
	c.Mechanism = curve
	c.Validate(func(key, reason string) {
		if strings.Contains(reason, marker) {
			t.Errorf("%s tells it: %s", key, reason)
		}
	})
}
