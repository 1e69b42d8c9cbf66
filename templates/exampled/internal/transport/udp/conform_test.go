package udp

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

func TestConformance(t *testing.T) {
	var configs atomic.Int64
	transporttest.Run(t, transporttest.Harness{
		Config: func() transport.Config {
			c := Default().(*Config)
			// Port 0 as a text of its own: each is another address.
			c.Listen = "127.0.0.1:" + strings.Repeat("0", int(configs.Add(1)))
			return c
		},
		Address: func(tr transport.Transport) string { return tr.(*Transport).Addr().String() },
		Dial: func(address string) (transporttest.Peer, error) {
			conn, err := net.Dial("udp", address)
			return sender{conn}, err
		},
		Replies: true,
		Short:   true,
		Lossy:   true, // see TestBackPressure
		Limit:   int(Default().(*Config).MaxMessage),
	})
}

// sender sends each message as a datagram.
type sender struct{ net.Conn }

// Send implements transporttest.Peer.
func (s sender) Send(bodies ...[]byte) error {
	for _, body := range bodies {
		if _, err := s.Write(body); err != nil {
			return err
		}
	}
	return nil
}

// Receive implements transporttest.Peer.
func (s sender) Receive() ([]byte, error) {
	_ = s.SetReadDeadline(time.Now().Add(transporttest.Patience))
	buffer := make([]byte, largest)
	n, err := s.Read(buffer)
	return buffer[:n], err
}
