package amqp

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/edm/internal/config"
)

func problems(c *Config) (all []string) {
	c.Validate(func(key, reason string) { all = append(all, key+": "+reason) })
	slices.Sort(all)
	return all
}

func TestDefaultIsValid(t *testing.T) {
	c := Default().(*Config)
	if all := problems(c); all != nil {
		t.Error(all)
	}
	if c.Unused() == "" {
		t.Error("is used without a server")
	}
	c.URLs = []string{"amqp://one:5672/vhost", "amqps://two"}
	if all := problems(c); all != nil || c.Unused() != "" {
		t.Error(all, c.Unused())
	}
	if c.Patience() != 25*time.Second || !c.Redelivers() || c.Listens() != nil {
		t.Error(c.Patience(), c.Redelivers(), c.Listens())
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		change func(c *Config)
		want   string // the beginning; "": nothing
	}{
		"scheme":             {func(c *Config) { c.URLs = []string{"http://a"} }, "urls: must be of the form"},
		"no host":            {func(c *Config) { c.URLs = []string{"amqp:///v"} }, "urls: must be of the form"},
		"password in URL":    {func(c *Config) { c.URLs = []string{"amqp://u:hunter2@host/"} }, "urls: must not hold a user or a password, as that of host host does"},
		"no URL":             {func(c *Config) { c.URLs = []string{"amqp://u:hunter2%@host/"} }, "urls: must be of the form"},
		"parameters":         {func(c *Config) { c.URLs = []string{"amqp://host/?password=hunter2"} }, "urls: must not have parameters, as that of host host"},
		"port":               {func(c *Config) { c.URLs = []string{"amqp://host:70000"} }, "urls: must have a port from 1 to 65535, is host:70000"},
		"IPv6":               {func(c *Config) { c.URLs = []string{"amqp://[::1]:5672"} }, ""},
		"no user":            {func(c *Config) { c.Password = "hunter2" }, "username: is missing"},
		"CA without TLS":     {func(c *Config) { c.CAFile = "/ca" }, "ca_file: is for amqps"},
		"CA":                 {func(c *Config) { c.CAFile, c.URLs = "/ca", []string{"amqps://a"} }, ""},
		"certificate alone":  {func(c *Config) { c.CertFile, c.URLs = "/c", []string{"amqps://a"} }, "cert_file: goes together with key_file"},
		"key alone":          {func(c *Config) { c.KeyFile, c.URLs = "/k", []string{"amqps://a"} }, "cert_file: goes together with key_file"},
		"heartbeat":          {func(c *Config) { c.Heartbeat = config.Duration(1500 * time.Millisecond) }, "heartbeat: must be whole seconds"},
		"no heartbeat":       {func(c *Config) { c.Heartbeat = 0 }, "heartbeat: must be whole seconds"},
		"connect_timeout":    {func(c *Config) { c.ConnectTimeout = 0 }, "connect_timeout: must be more"},
		"exchange_type":      {func(c *Config) { c.ExchangeType = "headers" }, `exchange_type: must be one of direct, fanout, topic, is "headers"`},
		"queue_type":         {func(c *Config) { c.QueueType = "stream" }, `queue_type: must be one of quorum, classic, is "stream"`},
		"exchange":           {func(c *Config) { c.Exchange = long }, "exchange: must be at most 255 bytes long, is 256"},
		"amq.":               {func(c *Config) { c.Exchange = "amq.topic" }, `exchange: must not begin with "amq."`},
		"amq., passive":      {func(c *Config) { c.Exchange, c.Declare = "amq.topic", false }, ""},
		"no queues":          {func(c *Config) { c.Queues = nil }, "queues: must name at least one"},
		"no name":            {func(c *Config) { c.Queues = map[string][]string{"": nil} }, "queues: must not have a queue without a name"},
		"long queue":         {func(c *Config) { c.Queues = map[string][]string{long: nil} }, "queues: must be at most 255"},
		"long key":           {func(c *Config) { c.Queues = map[string][]string{"q": {long}} }, `queues: "q" has a binding key longer`},
		"key, no exchange":   {func(c *Config) { c.Exchange = "" }, `queues: "edm" must not have binding keys`},
		"no key or exchange": {func(c *Config) { c.Exchange, c.Queues = "", map[string][]string{"q": nil} }, ""},
		"prefetch 0":         {func(c *Config) { c.Prefetch = 0 }, "prefetch: must be from 1 to 65535, is 0"},
		"prefetch":           {func(c *Config) { c.Prefetch = 65536 }, "prefetch: must be from 1 to 65535, is 65536"},
		"max_message":        {func(c *Config) { c.MaxMessage = 0 }, "max_message: must be at least 1B"},
		"same exchange":      {func(c *Config) { c.DeadLetterExchange = c.Exchange }, "dead_letter_exchange: must be another one"},
		"long dead":          {func(c *Config) { c.DeadLetterExchange = long }, "dead_letter_exchange: must be at most"},
		"no dead queue":      {func(c *Config) { c.DeadLetterQueue = "" }, "dead_letter_queue: must not be empty"},
		"dead, passive":      {func(c *Config) { c.DeadLetterQueue, c.Declare = "", false }, ""},
		"no dead letters":    {func(c *Config) { c.DeadLetterQueue, c.DeadLetterExchange = "", "" }, ""},
		"same queue":         {func(c *Config) { c.DeadLetterQueue = "edm" }, "dead_letter_queue: must be none of queues"},
		"long dead queue":    {func(c *Config) { c.DeadLetterQueue = long }, "dead_letter_queue: must be at most"},
		"delivery_limit":     {func(c *Config) { c.DeliveryLimit = -1 }, "delivery_limit: must be from 0"},
		"order_header":       {func(c *Config) { c.OrderHeader = long }, "order_header: must be at most"},
	} {
		c := Default().(*Config)
		test.change(c)
		all := problems(c)
		if test.want == "" && all != nil || test.want != "" && (len(all) != 1 || !strings.HasPrefix(all[0], test.want)) {
			t.Errorf("%s: %q, want %q", name, all, test.want)
		}
		if text := fmt.Sprint(all); strings.Contains(text, "hunter2") {
			t.Errorf("%s: tells the password: %s", name, text)
		}
	}
}

// Which changes take another connection, and which another one to publish by.
func TestSame(t *testing.T) {
	for name, test := range map[string]struct {
		change          func(c *Config)
		session, server bool
	}{
		"nothing":      {func(*Config) {}, true, true},
		"max_message":  {func(c *Config) { c.MaxMessage++ }, true, true},
		"order_header": {func(c *Config) { c.OrderHeader = "x" }, true, true},
		"wait":         {func(c *Config) { c.Wait++ }, true, true},
		"prefetch":     {func(c *Config) { c.Prefetch++ }, false, true},
		"queues":       {func(c *Config) { c.Queues = map[string][]string{"edm": {"edm", "b"}} }, false, true},
		"urls":         {func(c *Config) { c.URLs = []string{"amqp://b"} }, false, false},
		"password":     {func(c *Config) { c.Password = "b" }, false, false},
		"ca_file":      {func(c *Config) { c.CAFile = "/b" }, false, false},
	} {
		before := Default().(*Config)
		before.Password = "a"
		after := *before
		test.change(&after)
		if got := after.sameSession(before); got != test.session {
			t.Errorf("%s: same session %t", name, got)
		}
		if got := after.sameServer(before); got != test.server {
			t.Errorf("%s: same server %t", name, got)
		}
	}
}
