// The section [transport.amqp] of the configuration.

package amqp

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/edm/internal/config"
	"example.com/edm/internal/transport"
)

// Config is the section [transport.amqp]. Every key can change while the service
// runs: a connection with the new values is made before the old one is given up.
type Config struct {
	// URLs are the nodes of the broker, amqp://HOST:PORT/VHOST or amqps://, to be
	// tried in turn. Without any the transport is not used.
	URLs []string `toml:"urls"`

	// Username and Password are those of a user of the broker. Without a
	// username they are guest and guest, whom RabbitMQ lets in from its own
	// machine only.
	Username string        `toml:"username"`
	Password config.Secret `toml:"password"`

	// CAFile holds the certificates that sign the broker's, instead of those of
	// the system; CertFile and KeyFile are our own certificate, for a broker that
	// asks for one. All are in PEM, and for amqps only.
	CAFile   config.Path `toml:"ca_file"`
	CertFile config.Path `toml:"cert_file"`
	KeyFile  config.Path `toml:"key_file"`

	// Exchange is the exchange that the queues are bound to, of the type direct,
	// fanout or topic; "" is the default exchange, to which each queue is bound
	// by its name.
	Exchange        string `toml:"exchange"`
	ExchangeType    string `toml:"exchange_type"`
	ExchangeDurable bool   `toml:"exchange_durable"`

	// Queues are the queues to consume, each with its binding keys; a queue
	// without any is bound by its name.
	Queues map[string][]string `toml:"queues"`

	// QueueType is that of the queues which are declared: quorum or classic.
	QueueType string `toml:"queue_type"`

	// Declare has the service declare exchanges and queues. Otherwise they must
	// be there, and nothing is said of their properties.
	Declare bool `toml:"declare"`

	// Prefetch is how many messages of each queue may be delivered and not yet
	// acknowledged: with the size of the largest message that the broker takes it
	// bounds the memory, since a client has to take whole what it is delivered.
	Prefetch int `toml:"prefetch"`

	// MaxMessage is the size of the largest message that is handled. A larger one
	// has failed for good.
	MaxMessage config.Size `toml:"max_message"`

	// DeadLetterExchange gets the messages that failed for good, and
	// DeadLetterQueue is the queue that is bound to it. Without an exchange such
	// messages are kept with the dead letters of the service.
	DeadLetterExchange string `toml:"dead_letter_exchange"`
	DeadLetterQueue    string `toml:"dead_letter_queue"`

	// DeliveryLimit is how often a message is given back before the broker itself
	// makes it a dead letter; 0 leaves that to the broker. It is a property of
	// quorum queues that are declared with a dead-letter exchange.
	DeliveryLimit int `toml:"delivery_limit"`

	// OrderHeader is the header by which worker.ordered_by = "header" keeps
	// messages in order.
	OrderHeader string `toml:"order_header"`

	// Heartbeat is how often each side gives a sign of life, in whole seconds. A
	// broker that is silent for one and a half of them, or takes nothing for one,
	// is away.
	Heartbeat config.Duration `toml:"heartbeat"`

	// ConnectTimeout bounds all that it takes to make a connection to one node.
	ConnectTimeout config.Duration `toml:"connect_timeout"`

	// Wait is how long a start waits for a broker that is not reachable; 0 is not
	// at all.
	Wait config.Duration `toml:"wait"`
}

// Default returns the section with its defaults.
//
// A prefetch of 1000 is several batches of the workers, so that the next is there
// when one is done; from 300 on more of it makes small messages no faster. 20
// deliveries is the limit that RabbitMQ has by itself as of version 4.0.
func Default() transport.Config {
	return &Config{
		Exchange:           "edm",
		ExchangeType:       "direct",
		ExchangeDurable:    true,
		Queues:             map[string][]string{"edm": {"edm"}},
		QueueType:          "quorum",
		Declare:            true,
		Prefetch:           1000,
		MaxMessage:         1 << 20,
		DeadLetterExchange: "edm.dead",
		DeadLetterQueue:    "edm.dead",
		DeliveryLimit:      20,
		Heartbeat:          config.Duration(10 * time.Second),
		ConnectTimeout:     config.Duration(5 * time.Second),
		Wait:               config.Duration(25 * time.Second),
	}
}

var (
	_ transport.KeyedConfig        = (*Config)(nil)
	_ transport.RedeliveringConfig = (*Config)(nil)
	_ transport.RemoteConfig       = (*Config)(nil)
)

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address { return nil }

// Keys implements transport.KeyedConfig.
func (c *Config) Keys() []string { return []string{byRoutingKey, byCorrelationID, byHeader} }

// Redelivers implements transport.RedeliveringConfig.
func (c *Config) Redelivers() bool { return true }

// Patience implements transport.RemoteConfig.
func (c *Config) Patience() time.Duration { return time.Duration(c.Wait) }

// Unused implements transport.RemoteConfig.
func (c *Config) Unused() string {
	if len(c.URLs) == 0 {
		return "urls is empty"
	}
	return ""
}

// queues returns the names of the queues, in order.
func (c *Config) queues() []string { return slices.Sorted(maps.Keys(c.Queues)) }

// isEqual reports whether two configurations are the same in all keys.
func (c *Config) isEqual(other *Config) bool {
	one, two := *c, *other
	one.URLs, two.URLs, one.Queues, two.Queues = nil, nil, nil, nil
	return fmt.Sprintf("%+v", one) == fmt.Sprintf("%+v", two) && c.Password.Reveal() == other.Password.Reveal() &&
		slices.Equal(c.URLs, other.URLs) && maps.EqualFunc(c.Queues, other.Queues, slices.Equal)
}

// The longest name of anything in AMQP 0-9-1, a short string.
const longestName = 255

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	c.validateServer(report)
	c.validateTopology(report)
	c.validateDeadLetters(report)
	if c.Prefetch < 1 || c.Prefetch > 65535 {
		report("prefetch", fmt.Sprintf("must be from 1 to 65535, is %d", c.Prefetch))
	}
	if c.MaxMessage < 1 {
		report("max_message", fmt.Sprintf("must be at least 1B, is %s", c.MaxMessage))
	}
	if len(c.OrderHeader) > longestName {
		report("order_header", fmt.Sprintf("must be at most %d bytes long, is %d", longestName, len(c.OrderHeader)))
	}
}

func (c *Config) validateServer(report func(key, reason string)) {
	secure := false
	for _, text := range c.URLs {
		u, err := parseURL(text)
		if err != nil {
			report("urls", err.Error())
			continue
		}
		secure = secure || u.Scheme == "amqps"
	}
	if c.Username == "" && c.Password != "" {
		report("username", "is missing, and there is a password")
	}
	for key, path := range map[string]config.Path{"ca_file": c.CAFile, "cert_file": c.CertFile, "key_file": c.KeyFile} {
		if path != "" && !secure {
			report(key, "is for amqps, and no URL begins with amqps://")
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		report("cert_file", "goes together with key_file: one of them is missing")
	}
	if second := config.Duration(time.Second); c.Heartbeat < second || c.Heartbeat > 3600*second || c.Heartbeat%second != 0 {
		report("heartbeat", fmt.Sprintf("must be whole seconds, from 1s to 1h, is %s", c.Heartbeat))
	}
	if c.ConnectTimeout <= 0 {
		report("connect_timeout", fmt.Sprintf("must be more than 0s, is %s", c.ConnectTimeout))
	}
}

// parseURL reads the URL of a node. Its errors quote no more than the host: where
// the rest does not belong there may be a password.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Hostname() == "":
		return nil, fmt.Errorf("must be of the form amqp://HOST:PORT/VHOST, or amqps")
	case u.User != nil:
		return nil, fmt.Errorf("must not hold a user or a password, as that of host %s does: that is for the keys username and password", u.Host)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("must not have parameters, as that of host %s does: they are keys of this section", u.Host)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("must have a port from 1 to 65535, is %s", u.Host)
		}
	}
	return u, nil
}

func (c *Config) validateTopology(report func(key, reason string)) {
	oneOf := func(key, value string, of ...string) {
		if !slices.Contains(of, value) {
			report(key, fmt.Sprintf("must be one of %s, is %q", strings.Join(of, ", "), value))
		}
	}
	oneOf("exchange_type", c.ExchangeType, "direct", "fanout", "topic")
	oneOf("queue_type", c.QueueType, "quorum", "classic")
	c.validateName(report, "exchange", c.Exchange)
	if len(c.Queues) == 0 {
		report("queues", "must name at least one queue")
	}
	for _, name := range c.queues() {
		if name == "" {
			report("queues", "must not have a queue without a name")
		}
		c.validateName(report, "queues", name)
		if c.Exchange == "" && len(c.Queues[name]) > 0 {
			report("queues", fmt.Sprintf(`%q must not have binding keys: exchange is "", which routes by the name of the queue`, name))
		}
		for _, key := range c.Queues[name] {
			if len(key) > longestName {
				report("queues", fmt.Sprintf("%q has a binding key longer than %d bytes", name, longestName))
			}
		}
	}
}

func (c *Config) validateName(report func(key, reason string), key, name string) {
	if len(name) > longestName {
		report(key, fmt.Sprintf("must be at most %d bytes long, is %d", longestName, len(name)))
	}
	if c.Declare && strings.HasPrefix(name, "amq.") {
		report(key, fmt.Sprintf(`must not begin with "amq.", which is the broker's own, is %q`, name))
	}
}

func (c *Config) validateDeadLetters(report func(key, reason string)) {
	c.validateName(report, "dead_letter_exchange", c.DeadLetterExchange)
	c.validateName(report, "dead_letter_queue", c.DeadLetterQueue)
	_, twice := c.Queues[c.DeadLetterQueue]
	switch {
	case c.DeadLetterExchange == "":
	case c.DeadLetterExchange == c.Exchange:
		report("dead_letter_exchange", fmt.Sprintf("must be another one than exchange, is %q", c.Exchange))
	case c.Declare && c.DeadLetterQueue == "":
		report("dead_letter_queue", "must not be empty: nothing would keep the dead letters")
	case twice:
		report("dead_letter_queue", fmt.Sprintf("must be none of queues, is %q", c.DeadLetterQueue))
	}
	if c.DeliveryLimit < 0 || c.DeliveryLimit > 1000000 {
		report("delivery_limit", fmt.Sprintf("must be from 0, for that of the broker, to 1000000, is %d", c.DeliveryLimit))
	}
}
