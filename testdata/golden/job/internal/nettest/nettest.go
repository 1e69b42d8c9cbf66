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

// FreeAddress returns an address, as net.Listen takes it, that nobody listens on.
// Where the loopback network has more than one host, as on Linux, it is on one of
// its own: the ports of 127.0.0.1 are also for every test that asks for any port, and
// for every connection to a server.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	pid := os.Getpid()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", pid>>8&0xff, pid&0xff, 2+hosts.Add(1)%250))
	if err != nil {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
