// The section [transport.zeromq] of the configuration.

package zeromq

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"example.com/fee/internal/config"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/accept"
	"example.com/fee/internal/transport/zeromq/zmtp"
)

// Config is the section [transport.zeromq]. Every key but pattern can change
// while the service runs. The addresses, topics, multipart, separator, pipeline
// and linger then hold for the open connections as well, the rest for those that
// are made from then on.
type Config struct {
	// Pattern is "rep", "pull" or "sub".
	Pattern string `toml:"pattern" reload:"restart"`

	// Bind are the addresses to listen on, and Connect those to connect to, over
	// and over again if need be: tcp://HOST:PORT or ipc:///PATH each. The two can
	// be mixed.
	Bind    []string `toml:"bind"`
	Connect []string `toml:"connect"`

	// Topics are the beginnings of the messages that a sub asks for; "" is all.
	Topics []string `toml:"topics"`

	// Multipart says what becomes of a message whose body has several frames:
	// "refuse", "join" with Separator between them, or "last", for a publisher
	// whose first frame is the topic.
	Multipart string `toml:"multipart"`
	Separator string `toml:"separator"`

	// Mechanism is "null", "plain" or "curve", for all connections. Who has bound
	// is the server of it, who connects the client.
	Mechanism string `toml:"mechanism"`

	// Username and Password are those of plain: what peers have to give that
	// connect to us, and what we give.
	Username string        `toml:"username"`
	Password config.Secret `toml:"password"`

	// SecretKey is our own of curve, ServerPublicKey that of the servers that we
	// connect to, and ClientPublicKeys those of the clients that may connect to
	// us, or "*" for every client that knows our public key. Keys are in Z85.
	SecretKey        config.Secret `toml:"secret_key"`
	ServerPublicKey  string        `toml:"server_public_key"`
	ClientPublicKeys []string      `toml:"client_public_keys"`

	// MaxMessage is the size of all frames of a message together, MaxParts their
	// number; a peer that sends more is disconnected.
	MaxMessage config.Size `toml:"max_message"`
	MaxParts   int         `toml:"max_parts"`

	// MaxConnections is how many peers that connect to us are served at a time;
	// what comes above is closed at once.
	MaxConnections int `toml:"max_connections"`

	// Pipeline is how many messages of a connection may be under way, from the
	// request that was read to the reply that was sent: no more are read
	// meanwhile. ZeroMQ calls it the high-water mark.
	Pipeline int `toml:"pipeline"`

	// HandshakeTimeout ends a connection whose peer has not finished greeting and
	// authentication by then.
	HandshakeTimeout config.Duration `toml:"handshake_timeout"`

	// HeartbeatInterval is how long a peer may send nothing before it is asked for
	// a sign of life, 0 for never, and HeartbeatTimeout how long until its
	// connection is ended.
	HeartbeatInterval config.Duration `toml:"heartbeat_interval"`
	HeartbeatTimeout  config.Duration `toml:"heartbeat_timeout"`

	// WriteTimeout ends a connection whose peer has taken no byte of its replies
	// for so long.
	WriteTimeout config.Duration `toml:"write_timeout"`

	// Linger is how long the end of a connection may wait for its peer to fetch
	// the last replies.
	Linger config.Duration `toml:"linger"`

	// Reconnect is the pause before a connection that was lost is made again: a
	// random part of it, which doubles with each failure up to ReconnectMax.
	Reconnect    config.Duration `toml:"reconnect"`
	ReconnectMax config.Duration `toml:"reconnect_max"`
}

// The patterns, and the type of our socket for each. Behind rep there is a
// ROUTER, which unlike a REP of ZeroMQ takes the next request before it has
// answered the last.
const (
	rep  = "rep"
	pull = "pull"
	sub  = "sub"
)

var socketTypes = map[string]string{rep: "ROUTER", pull: "PULL", sub: "SUB"}

// What Multipart can be.
const (
	refuse = "refuse"
	join   = "join"
	last   = "last"
)

// What Mechanism can be.
const (
	null  = "null"
	plain = "plain"
	curve = "curve"
)

// anyClient in Config.ClientPublicKeys.
const anyClient = "*"

// Default returns the section with its defaults.
//
// The port is the one in the guide to ZeroMQ, and a pipeline of 1000 the
// high-water mark that it has by default. The unfinished messages of all
// connections take twice max_message times max_connections at worst.
func Default() transport.Config {
	return &Config{
		Pattern:           rep,
		Bind:              []string{"tcp://127.0.0.1:5555"},
		Connect:           []string{},
		Topics:            []string{""},
		Multipart:         refuse,
		Separator:         "\n",
		Mechanism:         null,
		ClientPublicKeys:  []string{},
		MaxMessage:        1 << 20,
		MaxParts:          64,
		MaxConnections:    1000,
		Pipeline:          1000,
		HandshakeTimeout:  config.Duration(5 * time.Second),
		HeartbeatInterval: config.Duration(10 * time.Second),
		HeartbeatTimeout:  config.Duration(30 * time.Second),
		WriteTimeout:      config.Duration(30 * time.Second),
		Linger:            config.Duration(500 * time.Millisecond),
		Reconnect:         config.Duration(100 * time.Millisecond),
		ReconnectMax:      config.Duration(5 * time.Second),
	}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	oneOf := func(key, value string, of ...string) {
		if !slices.Contains(of, value) {
			report(key, fmt.Sprintf("must be one of %s, is %q", strings.Join(of, ", "), value))
		}
	}
	oneOf("pattern", c.Pattern, rep, pull, sub)
	oneOf("multipart", c.Multipart, refuse, join, last)
	oneOf("mechanism", c.Mechanism, null, plain, curve)
	c.validateAddresses(report)
	for _, topic := range c.Topics {
		if len(topic) > maxTopic {
			report("topics", fmt.Sprintf("must have at most %d bytes each, one has %d", maxTopic, len(topic)))
		}
	}
	switch c.Mechanism {
	case plain:
		c.validatePlain(report)
	case curve:
		c.validateCurve(report)
	}
	c.validateLimits(report)
}

// maxTopic is the length of the longest topic, which has to fit into a command.
const maxTopic = 255

func (c *Config) validateAddresses(report func(key, reason string)) {
	if len(c.Bind)+len(c.Connect) == 0 {
		report("bind", "must have an address, or else connect must")
	}
	validateList("bind", c.Bind, report)
	validateList("connect", c.Connect, report)
}

func validateList(key string, addresses []string, report func(key, reason string)) {
	for i, text := range addresses {
		a, err := parseAddress(text)
		switch {
		case err != nil:
			report(key, err.Error())
		case key == "connect" && !a.canConnect():
			report(key, fmt.Sprintf("must name a host and a port to connect to, is %q", text))
		case slices.Contains(addresses[:i], text):
			report(key, fmt.Sprintf("has %q twice", text))
		}
	}
}

func (c *Config) validatePlain(report func(key, reason string)) {
	if n := len(c.Username); n < 1 || n > 255 {
		report("username", fmt.Sprintf("must have from 1 to 255 bytes with the mechanism plain, has %d", n))
	}
	if n := len(c.Password); n < 1 || n > 255 {
		report("password", fmt.Sprintf("must have from 1 to 255 bytes with the mechanism plain, has %d", n))
	}
}

func (c *Config) validateCurve(report func(key, reason string)) {
	if _, err := zmtp.ParseKey(c.SecretKey.Reveal()); err != nil {
		report("secret_key", err.Error()+"; the mechanism curve needs it")
	}
	if len(c.Connect) > 0 {
		if _, err := zmtp.ParseKey(c.ServerPublicKey); err != nil {
			report("server_public_key", err.Error()+"; the mechanism curve needs it to connect")
		}
	}
	if len(c.Bind) > 0 && len(c.ClientPublicKeys) == 0 {
		report("client_public_keys", `must say who may connect with the mechanism curve, or have "*" for everybody who knows our public key`)
	}
	for _, text := range c.ClientPublicKeys {
		if _, err := zmtp.ParseKey(text); err != nil && text != anyClient {
			report("client_public_keys", fmt.Sprintf("%s, is %q", err, text))
		}
	}
}

func (c *Config) validateLimits(report func(key, reason string)) {
	if c.MaxMessage < 1 || c.MaxMessage > 1<<30 {
		report("max_message", fmt.Sprintf("must be from 1B to 1GiB, is %s", c.MaxMessage))
	}
	for _, n := range []struct {
		key          string
		value, least int
	}{
		{"max_parts", c.MaxParts, 2}, // a request of REQ has two
		{"max_connections", c.MaxConnections, 1},
		{"pipeline", c.Pipeline, 1},
	} {
		if n.value < n.least || n.value > 1<<16 {
			report(n.key, fmt.Sprintf("must be from %d to %d, is %d", n.least, 1<<16, n.value))
		}
	}
	for _, d := range []struct {
		key   string
		value config.Duration
	}{
		{"handshake_timeout", c.HandshakeTimeout},
		{"heartbeat_timeout", c.HeartbeatTimeout},
		{"write_timeout", c.WriteTimeout},
		{"reconnect", c.Reconnect},
		{"reconnect_max", c.ReconnectMax},
	} {
		if d.value <= 0 {
			report(d.key, fmt.Sprintf("must be more than 0, is %s", d.value))
		}
	}
	if c.HeartbeatInterval < 0 {
		report("heartbeat_interval", fmt.Sprintf("must be 0, for none, or more, is %s", c.HeartbeatInterval))
	}
	if c.Linger < 0 {
		report("linger", fmt.Sprintf("must be 0 or more, is %s", c.Linger))
	}
	if c.HeartbeatInterval > 0 && c.HeartbeatTimeout <= c.HeartbeatInterval && c.HeartbeatTimeout > 0 {
		report("heartbeat_timeout", fmt.Sprintf("must be more than heartbeat_interval, which is %s, is %s", c.HeartbeatInterval, c.HeartbeatTimeout))
	}
	if c.ReconnectMax < c.Reconnect && c.ReconnectMax > 0 {
		report("reconnect_max", fmt.Sprintf("must be at least reconnect, which is %s, is %s", c.Reconnect, c.ReconnectMax))
	}
}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address {
	var listens []transport.Address
	for _, text := range c.Bind {
		if a, err := parseAddress(text); err == nil {
			listens = append(listens, transport.Address{Network: a.network, Address: a.address})
		}
	}
	return listens
}

// Own implements transport.OwningConfig: the file of a socket is for the user of the
// service alone.
func (c *Config) Own(bound net.Addr, uid, gid int) error {
	if bound.Network() != "unix" {
		return nil
	}
	file, err := accept.OpenFile(bound.String())
	if err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	defer file.Close()
	// Who can't give it away can't become another user either, and is about to say so.
	_ = file.Chown(uid, gid)
	return nil
}

// byConnection is the kind of key that keeps the messages of a connection in
// order.
const byConnection = "connection"

var (
	_ transport.KeyedConfig  = (*Config)(nil)
	_ transport.OwningConfig = (*Config)(nil)
)

// Keys implements transport.KeyedConfig.
func (c *Config) Keys() []string { return []string{byConnection} }

// options are those of a new connection, as the server or the client of its
// mechanism.
func (c *Config) options(server bool) zmtp.Options {
	return zmtp.Options{
		SocketType:        socketTypes[c.Pattern],
		Mechanism:         c.mechanism(server),
		MaxMessage:        int(c.MaxMessage),
		MaxFrames:         c.MaxParts,
		HandshakeTimeout:  time.Duration(c.HandshakeTimeout),
		HeartbeatInterval: time.Duration(c.HeartbeatInterval),
		HeartbeatTimeout:  time.Duration(c.HeartbeatTimeout),
		WriteTimeout:      time.Duration(c.WriteTimeout),
	}
}

func (c *Config) mechanism(server bool) zmtp.Mechanism {
	switch {
	case c.Mechanism == plain && server:
		return zmtp.PlainServer{Username: c.Username, Password: c.Password.Reveal()}
	case c.Mechanism == plain:
		return zmtp.PlainClient{Username: c.Username, Password: c.Password.Reveal()}
	case c.Mechanism == curve && server:
		return zmtp.CurveServer{Secret: key(c.SecretKey.Reveal()), Accept: c.accepts}
	case c.Mechanism == curve:
		return zmtp.CurveClient{Secret: key(c.SecretKey.Reveal()), Server: key(c.ServerPublicKey)}
	}
	return zmtp.Null{}
}

// key reads a key that Validate has seen.
func key(text string) zmtp.Key {
	k, _ := zmtp.ParseKey(text)
	return k
}

func (c *Config) accepts(client zmtp.Key) bool {
	return slices.ContainsFunc(c.ClientPublicKeys, func(text string) bool {
		return text == anyClient || key(text) == client
	})
}
