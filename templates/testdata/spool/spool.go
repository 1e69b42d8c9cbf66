// Package spool is a transport of tests that hands over again what was not
// settled, as the queue of a broker does: numbered messages, each with its number
// as its identity, until the file DONE lists them all.
package spool

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"example.com/feed/internal/transport"
)

// Config is the section [transport.spool].
type Config struct {
	Messages int    `toml:"messages" reload:"restart"` // how many there are
	Done     string `toml:"done" reload:"restart"`     // the file of the numbers that are settled, a line each
}

// Default returns the section with its defaults.
func Default() transport.Config { return &Config{Done: "/dev/null"} }

// Validate implements config.Section.
func (c *Config) Validate(func(key, reason string)) {}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address { return nil }

// Redelivers implements transport.RedeliveringConfig.
func (c *Config) Redelivers() bool { return true }

// New implements transport.Config.
func (c *Config) New(transport.Env) (transport.Transport, error) {
	s := &spool{Config: *c, settled: make(map[int]bool)}
	text, err := os.ReadFile(c.Done)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		n, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
		if err == nil && strings.HasSuffix(line, "\n") {
			s.settled[n] = true
		}
	}
	s.again = len(text) > 0
	s.done, err = os.OpenFile(c.Done, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	return s, err
}

type spool struct {
	Config
	done     *os.File
	again    bool         // this is not the first delivery
	settled  map[int]bool // before this start
	underWay sync.WaitGroup
}

// Serve implements transport.Transport.
func (s *spool) Serve(ctx context.Context, queue transport.Queue) error {
	for n := range s.Messages {
		if s.settled[n] {
			continue
		}
		s.underWay.Add(1)
		if _, err := queue.Submit(ctx, []transport.Message{&message{s, n}}); err != nil {
			s.underWay.Done()
			break
		}
	}
	<-ctx.Done()
	s.underWay.Wait()
	return nil
}

// Reload implements transport.Transport: nothing can change.
func (s *spool) Reload(transport.Config) (transport.Change, error) {
	return transport.Change{Commit: func() {}, Abort: func() {}}, nil
}

// Retire implements transport.Transport. No test upgrades this.
func (s *spool) Retire() {}

// Close implements transport.Transport.
func (s *spool) Close() error { return nil }

// Status implements transport.Transport.
func (s *spool) Status() string { return "spooling" }

type message struct {
	spool  *spool
	number int
}

func (m *message) Body() []byte      { return fmt.Append(nil, m.number) }
func (m *message) ID() string        { return fmt.Sprintf("message-%d", m.number) }
func (m *message) Redelivered() bool { return m.spool.again }

// Settle implements transport.Message. Whatever failed is delivered again.
func (m *message) Settle(_ []byte, err error) {
	defer m.spool.underWay.Done()
	if err == nil {
		_, _ = fmt.Fprintln(m.spool.done, m.number) // if it fails, it was not acknowledged
	}
}
