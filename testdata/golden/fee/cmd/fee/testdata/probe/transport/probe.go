// Package probe is the transport of the probe: a connection over TCP is one
// message, a line, and so is its answer. What was not handled is not answered.
package probe

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"example.com/fee/internal/transport"
)

// Config is the section [transport.probe].
type Config struct {
	Listen string `toml:"listen" reload:"restart"`
}

// Default returns the section with its defaults.
func Default() transport.Config { return &Config{Listen: "127.0.0.1:0"} }

// Validate implements config.Section.
func (c *Config) Validate(func(key, reason string)) {}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address {
	return []transport.Address{{Network: "tcp", Address: c.Listen}}
}

// New implements transport.Config.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	listener, err := env.Listen("tcp", c.Listen)
	if err != nil {
		return nil, err
	}
	return &probe{listener: listener, closed: make(chan struct{})}, nil
}

type probe struct {
	listener net.Listener
	peers    sync.WaitGroup
	close    sync.Once
	closed   chan struct{}
}

// Serve implements transport.Transport.
func (p *probe) Serve(ctx context.Context, queue transport.Queue) error {
	stop := context.AfterFunc(ctx, func() { _ = p.listener.Close() })
	defer stop()
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			p.peers.Wait()
			return nil
		}
		p.peers.Go(func() { p.serve(ctx, conn, queue) })
	}
}

// Retire implements transport.Transport.
func (p *probe) Retire() { _ = p.listener.Close() }

func (p *probe) serve(ctx context.Context, conn net.Conn, queue transport.Queue) {
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	m := &message{strings.TrimSpace(line), make(chan string, 1)}
	if n, _ := queue.Submit(ctx, []transport.Message{m}); n == 0 {
		return
	}
	select {
	case answer := <-m.answer:
		_, _ = fmt.Fprint(conn, answer)
	case <-p.closed:
	}
}

// Reload implements transport.Transport.
func (p *probe) Reload(transport.Config) (transport.Change, error) {
	return transport.Change{Commit: func() {}, Abort: func() {}}, nil
}

// Close implements transport.Transport.
func (p *probe) Close() error {
	if os.Getenv("FEE_PROBE_STOP") == "hang" {
		select {}
	}
	p.close.Do(func() { close(p.closed) })
	_ = p.listener.Close()
	return nil
}

// Status implements transport.Transport.
func (p *probe) Status() string { return p.listener.Addr().String() }

type message struct {
	line   string
	answer chan string // a line, or nothing for what was not handled
}

func (m *message) Body() []byte { return []byte(m.line) }

func (m *message) Settle(reply []byte, err error) {
	if err != nil {
		reply = nil
	}
	if reply != nil {
		reply = append(reply, '\n')
	}
	m.answer <- string(reply)
}
