//go:build linux

// Package bench measures what daemongen writes against what people write by
// hand, on whole programs and with real servers. Whatever is compared takes turns
// within one run, on the same machine in the same minutes; what counts is the
// median of the ratios. Run it with make bench, on Linux.
package bench

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// There is nothing to record here; see go test ./... -update.
var _ = flag.Bool("update", false, "nothing to record here")

// folder makes a folder for a program that may give up the rights of root, and
// so can't enter what b.TempDir makes.
func folder(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("", "daemongen-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return dir
}

// run runs a program, which has to succeed.
func run(b *testing.B, dir string, env []string, program string, args ...string) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// project is a service that runs.
type project struct {
	dir     string // of all that it has
	address string // of its transport tcp
}

// startProject starts a service as startService does, and returns the address of
// its transport tcp.
func startProject(b *testing.B, flags []string, env ...string) (address string) {
	b.Helper()
	return startService(b, flags, env...).address
}

// startService writes a project with these flags, builds it, and starts it with
// these variables beyond the usual. It is stopped with the benchmark.
func startService(b *testing.B, flags []string, env ...string) project {
	b.Helper()
	dir := folder(b)
	source, program := filepath.Join(dir, "project"), filepath.Join(dir, "feed")
	run(b, "", nil, "go", slices.Concat([]string{"run", "../cmd/daemongen", "new", "feed", "--dir", source, "--yes"}, flags)...)
	run(b, source, nil, "go", "build", "-o", program, "./cmd/feed")
	address := freeAddress(b)
	env = append(env,
		"FEED_CONFIG="+filepath.Join(source, "configs", "feed.toml"),
		"FEED_DAEMON_RUN_DIR="+filepath.Join(dir, "run"),
		"FEED_DAEMON_STATE_DIR="+filepath.Join(dir, "state"),
		"FEED_TRANSPORT_TCP_LISTEN="+address,
		"LOGS_DIRECTORY="+filepath.Join(dir, "log"))
	run(b, "", env, program, "start")
	b.Cleanup(func() { run(b, "", env, program, "stop") })
	return project{dir, address}
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// startByHand builds the program in testdata/NAME, starts it, and returns the
// address that it prints. It ends with the benchmark.
func startByHand(b *testing.B, name string, args ...string) (address string) {
	b.Helper()
	program := filepath.Join(folder(b), name)
	run(b, "", nil, "go", "build", "-o", program, "./testdata/"+name)
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // its end is all that is asked for
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatalf("%s did not say where it listens: %v", name, err)
	}
	return strings.TrimSpace(line)
}

// clients are peers that send a line, or several, wait for the answers, and send
// the next. All of them are one thread and its system calls, so that little of the
// machine goes to them: goroutines would take as much as the service.
type clients struct {
	depth   int // lines that are sent at once
	poll    int
	conns   []int       // descriptors, in blocking mode
	missing map[int]int // bytes of answers that are not there yet, by descriptor
}

func connect(b *testing.B, address string, n int) *clients {
	b.Helper()
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Close(poll) })
	c := &clients{depth: 1, poll: poll, missing: make(map[int]int)}
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		file, err := conn.(*net.TCPConn).File()
		_ = conn.Close()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = file.Close() })
		fd := int(file.Fd())
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			b.Fatal(err)
		}
		c.conns = append(c.conns, fd)
	}
	return c
}

var line, good = []byte("1,client,12.50\n"), []byte("TRUE\n")

// rate has all clients send for so long, and returns how many lines a second were
// answered TRUE. Any other answer ends the benchmark.
func (c *clients) rate(b *testing.B, length time.Duration) float64 {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for _, fd := range c.conns {
		c.send(b, fd)
	}
	answered, waiting := 0, len(c.conns)
	events := make([]unix.EpollEvent, len(c.conns))
	for waiting > 0 {
		n, err := unix.EpollWait(c.poll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			b.Fatal(err)
		}
		going := time.Since(began) < length
		for i := range max(n, 0) {
			if !c.receive(b, int(events[i].Fd)) {
				continue
			}
			answered += c.depth
			if going {
				c.send(b, int(events[i].Fd))
			} else {
				waiting--
			}
		}
	}
	return float64(answered) / time.Since(began).Seconds()
}

func (c *clients) send(b *testing.B, fd int) {
	lines := line
	if c.depth > 1 {
		lines = bytes.Repeat(line, c.depth)
	}
	if n, err := unix.Write(fd, lines); err != nil || n != len(lines) {
		b.Fatalf("sent %d bytes: %v", n, err)
	}
	c.missing[fd] = c.depth * len(good)
}

// receive takes answers, of which some are there, and reports whether they are
// all.
func (c *clients) receive(b *testing.B, fd int) bool {
	var buffer [4096]byte
	n, err := unix.Read(fd, buffer[:])
	if err != nil || n == 0 {
		b.Fatalf("received %d bytes: %v", n, err)
	}
	at := c.depth*len(good) - c.missing[fd]
	for i, got := range buffer[:n] {
		if got != good[(at+i)%len(good)] {
			b.Fatalf("answered %q", buffer[:n])
		}
	}
	c.missing[fd] -= n
	return c.missing[fd] == 0
}

// inTurn measures two rates a round, the one that begins changing with each
// round, and reports the medians of both and of their ratio.
func inTurn(b *testing.B, ours, theirs func() float64) {
	b.Helper()
	var our, their, ratios []float64
	for round := 0; b.Loop(); round++ {
		var one, other float64
		if round%2 == 0 {
			one, other = ours(), theirs()
		} else {
			other, one = theirs(), ours()
		}
		our, their, ratios = append(our, one), append(their, other), append(ratios, one/other)
	}
	b.ReportMetric(median(our), "msg/s")
	b.ReportMetric(median(their), "by-hand-msg/s")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(ratios), "ratio-min")
	b.ReportMetric(0, "ns/op") // both together say nothing
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
