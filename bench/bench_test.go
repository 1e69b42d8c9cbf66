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
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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
	name    string
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
	p := project{dir: folder(b), name: "feed", address: freeAddress(b)}
	p.start(b, flags, append(env, "FEED_TRANSPORT_TCP_LISTEN="+p.address))
	return p
}

// start does what startService says.
func (p project) start(b *testing.B, flags, env []string) {
	b.Helper()
	program, env := p.build(b, flags), append(env, p.environment()...)
	run(b, "", env, program, "start")
	b.Cleanup(func() { run(b, "", env, program, "stop") })
}

// build writes the project with these flags, and returns its program.
func (p project) build(b *testing.B, flags []string) (program string) {
	b.Helper()
	source := filepath.Join(p.dir, "project")
	program = filepath.Join(p.dir, p.name)
	run(b, "", nil, "go", slices.Concat([]string{"run", "../cmd/daemongen", "new", p.name, "--dir", source, "--yes"}, flags)...)
	run(b, source, nil, "go", "build", "-o", program, "./cmd/"+p.name)
	return program
}

// environment are the variables that give the service places of its own.
func (p project) environment() []string {
	prefix := strings.ToUpper(p.name)
	return []string{
		prefix + "_CONFIG=" + filepath.Join(p.dir, "project", "configs", p.name+".toml"),
		prefix + "_DAEMON_RUN_DIR=" + filepath.Join(p.dir, "run"),
		prefix + "_DAEMON_STATE_DIR=" + filepath.Join(p.dir, "state"),
		"LOGS_DIRECTORY=" + p.logs(),
	}
}

func (p project) logs() string { return filepath.Join(p.dir, "log") }

// pid is that of the service's process.
func (p project) pid(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "run", p.name+".pid"))
	if err != nil {
		b.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		b.Fatal(err)
	}
	return pid
}

// resident is how much memory a process holds, in MB.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kibibytes float64
	if _, err := fmt.Sscanf(rest, "%f", &kibibytes); err != nil {
		b.Fatal(err)
	}
	return kibibytes * 1024 / 1e6
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
	return startProcess(b, buildByHand(b, name), args...).line(b)
}

// buildByHand builds the program in testdata/NAME, which may be a module of its own.
func buildByHand(b *testing.B, name string) (program string) {
	b.Helper()
	program = filepath.Join(folder(b), name)
	run(b, filepath.Join("testdata", name), nil, "go", "build", "-o", program, ".")
	return program
}

// process is a program that takes lines and prints lines. It ends with its input.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startProcess starts a program, which ends with the benchmark at the latest.
func startProcess(b *testing.B, program string, args ...string) *process {
	b.Helper()
	return startCommand(b, exec.Command(program, args...))
}

func startCommand(b *testing.B, cmd *exec.Cmd) *process {
	b.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &process{cmd, in, bufio.NewReader(out)}
	b.Cleanup(p.end)
	return p
}

// end ends the program, and waits for it; that it ends is all that is asked for.
func (p *process) end() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// line reads the next line that the program prints.
func (p *process) line(b *testing.B) string {
	b.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		b.Fatalf("%s has ended: %v", p.cmd.Path, err)
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
