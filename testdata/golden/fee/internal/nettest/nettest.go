// Package nettest has addresses for tests that give one away before somebody
// listens on it, or listen on it again.
package nettest

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// hosts is how many hosts of the loopback network this process has given away.
var hosts atomic.Uint32

// Host returns a host of the loopback network for its caller alone, where that
// network has more than one, as on Linux. The ports of 127.0.0.1 are also for every
// test that asks for any port, and for every connection to a server.
func Host(tb testing.TB) string {
	tb.Helper()
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", pid>>8&0xff, pid&0xff, 2+hosts.Add(1)%250)
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	_ = listener.Close()
	return host
}

// FreeAddress returns an address, as net.Listen takes it, that nobody listens on.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(Host(tb), "0"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
