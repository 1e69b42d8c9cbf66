// A server that fails: between the pool and the real one.

package databasetest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy hands connections on to a server, until it is told otherwise.
type proxy struct {
	address string // host:port to connect to
	server  string // host:port of the real one

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
	silent   bool
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	p := &proxy{address: "127.0.0.1:0", server: server, open: make(map[net.Conn]bool)}
	p.start(t)
	t.Cleanup(p.stop)
	return p
}

// start listens, at the same address as before.
func (p *proxy) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.address = listener, listener.Addr().String()
	go p.accept(listener)
}

func (p *proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			continue // nobody answers it
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.keep(server)
		go hand(client, server)
		go hand(server, client)
	}
}

// keep remembers a connection, and reports whether it is to be served.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	return !p.silent
}

func hand(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// cut ends all connections, without a word to either side.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		_ = conn.(*net.TCPConn).SetLinger(0) // a reset, as of a server that was killed
		_ = conn.Close()
	}
	clear(p.open)
}

// stop is the end of the server: it refuses connections.
func (p *proxy) stop() {
	p.mu.Lock()
	_ = p.listener.Close()
	p.mu.Unlock()
	p.cut()
}

// silence has it say nothing to those who connect from now on.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = true
}
