//go:build linux

package bench

import (
	"fmt"
	"io"
	"net"
	"testing"
)

// BenchmarkTCP has lines over TCP answered: by what daemongen writes, with its
// queue and workers, and by the barest loop of the same framing, a goroutine for
// each connection that writes when no more lines are buffered (testdata/bareloop).
// With a depth, a client sends so many lines before it reads their answers.
//
// The bar is a ratio of 0.85 with 64 clients.
func BenchmarkTCP(b *testing.B) {
	for _, n := range []int{1, 64} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("clients=%d/depth=%d", n, depth), func(b *testing.B) { benchmarkTCP(b, n, depth) })
		}
	}
}

func benchmarkTCP(b *testing.B, n, depth int) {
	ours := connect(b, startProject(b, []string{"--database", "none"}), n)
	theirs := connect(b, startByHand(b, "bareloop"), n)
	ours.depth, theirs.depth = depth, depth
	ours.rate(b, length/4) // to warm up
	theirs.rate(b, length/4)
	inTurn(b,
		func() float64 { return ours.rate(b, length) },
		func() float64 { return theirs.rate(b, length) })
}

// BenchmarkTCPIdle opens 10000 connections, each of which has had a line answered,
// and reports what resident memory they cost, as the system counts it.
//
// The bar is 100 MB for all of them.
func BenchmarkTCPIdle(b *testing.B) {
	const connections = 10000
	var costs []float64
	for b.Loop() {
		project := startService(b, []string{"--database", "none"}, "FEED_TRANSPORT_TCP_MAX_CONNECTIONS=20000", "FEED_TRANSPORT_TCP_IDLE_TIMEOUT=1h")
		before := resident(b, project.pid(b))
		var conns []net.Conn
		for i := range connections {
			// From several addresses, as one has ports for 28000 at most.
			from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%4))}
			conn, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", project.address)
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
			answer := make([]byte, len(good))
			if _, err := conn.Write(line); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != string(good) {
				b.Fatalf("answered %q, %v", answer, err)
			}
		}
		costs = append(costs, resident(b, project.pid(b))-before)
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	b.ReportMetric(median(costs), "MB")
	b.ReportMetric(median(costs)*1000/connections*1000, "B/conn")
	b.ReportMetric(0, "ns/op")
}
