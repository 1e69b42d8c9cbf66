package stream

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/feed/internal/transport"
	"example.com/feed/internal/transport/transporttest"
)

// BenchmarkEcho compares the transport, with a queue that settles at once, with
// the barest loop of the same framing. The two take turns within each run, and
// of-bare is the median of the ratios of their rates: 1 is as fast.
func BenchmarkEcho(b *testing.B) {
	for _, peers := range []int{1, 64} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("peers=%d/depth=%d", peers, depth), func(b *testing.B) {
				benchmarkEcho(b, peers, depth)
			})
		}
	}
}

func benchmarkEcho(b *testing.B, peers, depth int) {
	const rounds = 10
	bare := dialPeers(b, serveBare(b), peers)
	full := dialPeers(b, serveEcho(b), peers)
	n := b.N/rounds/peers/depth + 1 // bursts of each peer in each round
	run(b, bare, 1, depth)
	run(b, full, 1, depth)
	var ratios []float64
	var bareTime, fullTime time.Duration
	b.ResetTimer()
	for range rounds {
		x, y := run(b, bare, n, depth), run(b, full, n, depth)
		ratios = append(ratios, float64(x)/float64(y))
		bareTime += x
		fullTime += y
	}
	slices.Sort(ratios)
	messages := float64(rounds * n * peers * depth)
	b.ReportMetric((ratios[rounds/2-1]+ratios[rounds/2])/2, "of-bare")
	b.ReportMetric(float64(bareTime)/messages, "bare-ns/msg")
	b.ReportMetric(float64(fullTime)/messages, "ns/msg")
	b.ReportMetric(0, "ns/op") // both together say nothing
}

// serveEcho starts the transport and returns its address.
func serveEcho(b *testing.B) string {
	tr, err := testConfig().New(transport.Env{Log: slog.New(slog.DiscardHandler), Listen: net.Listen})
	if err != nil {
		b.Fatal(err)
	}
	serving := transporttest.Serve(b, tr, new(transporttest.Echo))
	b.Cleanup(func() {
		_ = tr.Close()
		serving.Wait()
	})
	return tr.(*Transport).Addr().String()
}

// serveBare starts a goroutine for each connection that echoes lines, and
// writes when no more are buffered.
func serveBare(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { echoLines(nc) })
		}
	})
	b.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func echoLines(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	in, out := bufio.NewReader(nc), bufio.NewWriter(nc)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if _, err := out.Write(line); err != nil {
			return
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func dialPeers(b *testing.B, address string, n int) []net.Conn {
	var peers []net.Conn
	for range n {
		nc, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = nc.Close() })
		peers = append(peers, nc)
	}
	return peers
}

// run lets each peer send n bursts of so many messages and read their replies,
// and returns how long all of them took.
func run(b *testing.B, peers []net.Conn, n, depth int) time.Duration {
	burst := []byte(strings.Repeat("4711,somebody,0.25\n", depth))
	begin := time.Now()
	var group sync.WaitGroup
	for _, peer := range peers {
		group.Go(func() {
			replies := make([]byte, len(burst))
			for range n {
				if _, err := peer.Write(burst); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(peer, replies); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(begin)
}
