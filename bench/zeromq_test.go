//go:build linux

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// BenchmarkZeroMQ has clients of libzmq ask a project without a database, and the
// least that a program in C with libzmq can do: it echoes, or forgets, without a
// queue or workers (testdata/zeromq/echo.c). The clients are in C as well
// (testdata/zeromq/load.c).
//
// The bars are a ratio of 0.9 for requests, of 0.5 for messages of 32 bytes that are
// pulled, and of 0.8 for those of 1 KiB. A single client shows how fast a message is
// handed to a worker and its reply sent, beside the two threads of libzmq.
func BenchmarkZeroMQ(b *testing.B) {
	for _, n := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("rep/clients=%d", n), func(b *testing.B) { benchmarkZeroMQ(b, "rep", "router", "req", n) })
	}
	for _, size := range []int{32, 1024} {
		b.Run(fmt.Sprintf("pull/bytes=%d", size), func(b *testing.B) { benchmarkZeroMQ(b, "pull", "pull", "push", size) })
	}
}

func benchmarkZeroMQ(b *testing.B, pattern, socket, mode string, number int) {
	echo, load := compileZeroMQ(b)
	address, _ := startZeroMQ(b, pattern)
	ours := startLoad(b, load, mode, address, number)
	theirs := startLoad(b, load, mode, startEcho(b, echo, socket), number)
	ours.rate(b, length/4) // to warm up
	theirs.rate(b, length/4)
	inTurn(b,
		func() float64 { return ours.rate(b, length/2) },
		func() float64 { return theirs.rate(b, length/2) })
}

// BenchmarkZeroMQMemory has 1000 clients ask once and stay. The bar is 40 MB.
func BenchmarkZeroMQMemory(b *testing.B) {
	_, load := compileZeroMQ(b)
	address, pid := startZeroMQ(b, "rep")
	before := resident(b, pid)
	clients := startLoad(b, load, "idle", address, 1000)
	clients.answer(b)
	for b.Loop() {
		clients.rate(b, length/10)
	}
	b.ReportMetric(before, "MB-alone")
	b.ReportMetric(resident(b, pid), "MB-with-1000-clients")
	b.ReportMetric(0, "ns/op") // says nothing
}

// compileZeroMQ compiles the programs in C.
func compileZeroMQ(b *testing.B) (echo, load string) {
	b.Helper()
	compiler := os.Getenv("TEST_ZMQ_CC")
	if compiler == "" {
		b.Skip("LEFT OUT: TEST_ZMQ_CC names no compiler; make bench finds one")
	}
	dir := folder(b)
	for _, name := range []string{"echo", "load"} {
		run(b, "", nil, compiler, "-O2", "-o", filepath.Join(dir, name), "testdata/zeromq/"+name+".c", "-lzmq", "-lpthread")
	}
	return filepath.Join(dir, "echo"), filepath.Join(dir, "load")
}

// startZeroMQ starts a project with the transport zeromq and returns its address
// and process.
func startZeroMQ(b *testing.B, pattern string) (address string, pid int) {
	b.Helper()
	address = freeAddress(b)
	p := startService(b, []string{"--transport", "zeromq", "--database", "none"},
		"FEED_TRANSPORT_ZEROMQ_BIND=tcp://"+address, "FEED_TRANSPORT_ZEROMQ_PATTERN="+pattern,
		"FEED_TRANSPORT_ZEROMQ_MAX_CONNECTIONS=2000")
	return "tcp://" + address, p.pid(b)
}

// startEcho starts the program in C, and returns the address that it prints.
func startEcho(b *testing.B, echo, socket string) (address string) {
	b.Helper()
	return startProcess(b, echo, socket).line(b)
}

func startLoad(b *testing.B, load, mode, address string, number int) *process {
	b.Helper()
	return startProcess(b, load, mode, address, strconv.Itoa(number))
}

// rate has the clients send for so long, and returns how many messages a second
// there were.
func (p *process) rate(b *testing.B, length time.Duration) float64 {
	b.Helper()
	if _, err := fmt.Fprintln(p.in, length.Milliseconds()); err != nil {
		b.Fatal(err)
	}
	return p.answer(b)
}

// answer reads a number.
func (p *process) answer(b *testing.B) float64 {
	b.Helper()
	rate, err := strconv.ParseFloat(p.line(b), 64)
	if err != nil {
		b.Fatal(err)
	}
	return rate
}
