// Package proxytest has a proxy on TCP that stands before a server and fails when
// it is told to, as the server or the way to it would. It is for tests only.
package proxytest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy stands between a client and a server, and fails when it is told to.
type Proxy struct {
	t       *testing.T
	address string // to connect to
	server  string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
	silent   bool
	frozen   chan struct{} // closed by Thaw; nil: all is handed on
}

// New makes a proxy before the server at host:port, for as long as the test takes.
func New(t *testing.T, server string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, address: "127.0.0.1:0", server: server, open: make(map[net.Conn]bool)}
	p.Start()
	t.Cleanup(p.Stop)
	return p
}

// Address returns the host:port to connect to.
func (p *Proxy) Address() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// Start listens, at the same address as before.
func (p *Proxy) Start() {
	p.t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = listener, listener.Addr().String()
	go p.accept(listener)
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			go func() { // nobody answers it
				_, _ = io.Copy(io.Discard, client)
				_ = client.Close()
			}()
			continue
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.keep(server)
		go p.hand(client, server)
		go p.hand(server, client)
	}
}

// keep remembers a connection, and reports whether it is to be served.
func (p *Proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	return !p.silent
}

func (p *Proxy) hand(from, to net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
			return // what came meanwhile is lost
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Freeze has nothing get through any more, and nobody notice; new connections are
// not answered.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen, p.silent = make(chan struct{}), true
	p.t.Cleanup(p.Thaw)
}

// Thaw ends the connections of before, and hands on new ones.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	if p.frozen != nil {
		close(p.frozen)
	}
	p.frozen, p.silent = nil, false
	p.mu.Unlock()
	p.Cut()
}

// Silence has it say nothing to those who connect from now on.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}

// Cut ends all connections, without a word to either side.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset, as of a server that was killed
		_ = conn.Close()
	}
	clear(p.open)
}

// Stop is the end of the server: it refuses connections.
func (p *Proxy) Stop() {
	p.mu.Lock()
	_ = p.listener.Close()
	p.mu.Unlock()
	p.Cut()
}
