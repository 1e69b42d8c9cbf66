package templates_test

// The transport zeromq against libzmq, in Python, C and PHP. What each check of the
// project's comparison of ZeroMQ libraries is tested by:
//
//	TRUE, request of 0 bytes                     simple
//	1 to 1000 concurrent REQ                     concurrent
//	5 x 200 clients killed with a request        killed
//	connections closed inside a frame            zeromq.TestChurn
//	half-open: silent, signature, greeting       zeromq.TestHalfOpen
//	garbage, each followed by a live request     zeromq.TestGarbage
//	bad greetings: descriptors                   zeromq.TestGarbage, TestChurn
//	multipart                                    zeromq.TestMultipart
//	DEALER pipelining 500, no delimiter          dealer
//	two-hop envelope                             proxy
//	0, 1, 255, 256, 64 Ki, 1 Mi, 50 MiB          sizes
//	size limit                                   limit
//	50 peers announce 1 GiB                      zeromq.TestAnnouncedSize
//	connect, ask, close                          zeromq.TestChurn, cycles
//	SIGTERM with 100 requests in flight          TestZeroMQStop
//	SIGHUP rebinding under clients               TestZeroMQReload
//	DEALER that floods and never reads           flood
//	requests side by side on all workers         zeromq.TestConcurrentRequests
//	client heartbeats                            heartbeat
//	PULL: all counted, pushers that leave        TestZeroMQPull
//	PULL: back-pressure                          zeromq.TestPipeline, TestConformance
//	SUB: publisher restarted x3, topic filter    TestZeroMQSub
//	SUB: bind                                    zeromq.TestSubBinds
//	PLAIN, CURVE                                 TestZeroMQPlain, TestZeroMQCurve
//	descriptors exhausted                        TestZeroMQDescriptors
//	setuid, close-on-exec, re-exec               the tests of the program, TestZeroMQUpgrade
//	signals during requests                      TestZeroMQSignals

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// zeromq is a service with the transport zeromq, and peers of libzmq.
type zeromq struct {
	*service
	python string
	at     string // where the service listens
}

// tool returns a program that scripts/services.sh has exported. Without it the test
// is left out.
func tool(t *testing.T, variable string) string {
	t.Helper()
	if value := os.Getenv(variable); value != "" {
		return value
	}
	leaveOut(t, variable+" names no program (make test finds one)")
	return ""
}

// newZeroMQ starts a service with these keys of its section, in pairs.
func newZeroMQ(t *testing.T, keys ...string) *zeromq {
	t.Helper()
	z := &zeromq{python: tool(t, "TEST_ZMQ_PYTHON"), at: "tcp://" + freeAddress(t)}
	z.service = newService(t)
	z.setKey("bind", z.at)
	for i := 0; i < len(keys); i += 2 {
		z.setKey(keys[i], keys[i+1])
	}
	z.start()
	return z
}

// setKey sets a key of the section for the starts and reloads that come.
func (z *zeromq) setKey(key, value string) {
	z.env = append(z.env, "EXAMPLED_TRANSPORT_ZEROMQ_"+strings.ToUpper(key)+"="+value)
}

// command is a check of peers.py with its arguments.
func (z *zeromq) command(check string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	z.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, z.python, append([]string{"testdata/zeromq/peers.py", check}, args...)...)
	cmd.WaitDelay = time.Second
	return cmd
}

// peers runs a check to its end, and returns what it prints.
func (z *zeromq) peers(check string, args ...string) string {
	z.t.Helper()
	out, err := z.command(check, args...).CombinedOutput()
	if err != nil {
		z.t.Fatalf("%s: %v\n%s", check, err, out)
	}
	return string(out)
}

// running is a check that goes on while the test does something.
type running struct {
	z     *zeromq
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	errs  strings.Builder
	check string
}

// begin starts a check, which prints a line when it has begun.
func (z *zeromq) begin(check string, args ...string) *running {
	z.t.Helper()
	r := &running{z: z, cmd: z.command(check, args...), check: check}
	r.cmd.Stderr = &r.errs
	in, inErr := r.cmd.StdinPipe()
	out, outErr := r.cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		z.t.Fatal(inErr, outErr)
	}
	r.in, r.out = in, bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		z.t.Fatal(err)
	}
	r.line()
	return r
}

func (r *running) line() string {
	r.z.t.Helper()
	line, err := r.out.ReadString('\n')
	if err != nil {
		_ = r.cmd.Wait() // it says below why it ended
		r.z.t.Fatalf("%s: %v\n%s", r.check, err, &r.errs)
	}
	return strings.TrimSpace(line)
}

func (r *running) end() {
	r.z.t.Helper()
	if err := r.cmd.Wait(); err != nil {
		r.z.t.Fatalf("%s: %v\n%s", r.check, err, &r.errs)
	}
}

// stored is how many messages are in the database that are like this.
func (z *zeromq) stored(like string) int {
	z.t.Helper()
	return z.count("SELECT count(*) FROM exampled WHERE CAST(body AS TEXT) LIKE ?", like)
}

// all is how many messages are in the database: none was ever removed, so that is what
// the last one is called, which is found at once in a table of millions.
func (z *zeromq) all() int {
	z.t.Helper()
	return z.count("SELECT coalesce(max(id), 0) FROM exampled")
}

// count returns the number that a query has as its result.
func (z *zeromq) count(query string, args ...any) (n int) {
	z.t.Helper()
	db, err := sql.Open("sqlite", "file:"+z.databaseFile+"?mode=ro")
	if err != nil {
		z.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		z.t.Fatal(err)
	}
	return n
}

func TestZeroMQPeers(t *testing.T) {
	z := newZeroMQ(t, "max_message", "64MiB", "max_connections", "2000")
	for _, check := range []string{
		"simple", "concurrent", "killed", "dealer", "proxy", "sizes", "cycles", "flood", "heartbeat", "identity",
	} {
		t.Run(check, func(t *testing.T) {
			z.t = t
			z.peers(check, z.at)
		})
	}
	z.t = t
	if n, want := z.stored("%-%-%"), 20*(1+10+100+1000); n != want {
		t.Errorf("%d requests of concurrent clients are stored, want %d", n, want)
	}
}

func TestZeroMQLimit(t *testing.T) {
	z := newZeroMQ(t, "max_message", "1MiB")
	z.peers("limit", z.at, fmt.Sprint(1<<20))
}

// Pitfall 53: the file of a service that was killed is in nobody's way, and that of
// one that has stopped is gone.
func TestZeroMQFile(t *testing.T) {
	z := newZeroMQ(t)
	path := filepath.Join(z.dir, "state", "s.ipc")
	file := "ipc://" + path
	z.setKey("bind", z.at+","+file)
	z.want(0, "", "stop")
	pid := z.start()
	z.peers("simple", file)
	z.peers("simple", z.at)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the test is none: %v", err)
	}
	z.start()
	z.peers("simple", file)
	z.want(0, "", "stop")
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	z.want(1, `is no socket`, "start")
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestZeroMQPHP(t *testing.T) {
	php := tool(t, "TEST_ZMQ_PHP")
	z := newZeroMQ(t)
	if out, err := exec.Command(php, "testdata/zeromq/client.php", z.at).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The clients of the benchmark are in C.
func TestZeroMQC(t *testing.T) {
	compiler := tool(t, "TEST_ZMQ_CC")
	z := newZeroMQ(t)
	load := filepath.Join(z.dir, "load")
	if out, err := exec.Command(compiler, "-o", load, "../bench/testdata/zeromq/load.c", "-lzmq").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(load, "req", z.at, "32")
	cmd.Stdin = strings.NewReader("200\n")
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) == "0" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestZeroMQPlain(t *testing.T) {
	z := newZeroMQ(t, "mechanism", "plain", "username", "user", "password", "password")
	z.peers("plain", z.at)
}

func TestZeroMQCurve(t *testing.T) {
	z := &zeromq{service: &service{t: t}, python: tool(t, "TEST_ZMQ_PYTHON")}
	ours, theirs := strings.Fields(z.peers("keypair")), strings.Fields(z.peers("keypair"))
	z = newZeroMQ(t, "mechanism", "curve", "secret_key", ours[1], "client_public_keys", theirs[0])
	z.peers("heartbeat", z.at, theirs[1], ours[0])
	z.peers("curve", z.at, theirs[1], ours[0])
}

// Pitfall 56: a stop answers what it has taken.
func TestZeroMQStop(t *testing.T) {
	z := newZeroMQ(t)
	db, err := sql.Open("sqlite", "file:"+z.databaseFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil { // so that nothing can be stored
		t.Fatal(err)
	}
	clients := z.begin("inflight", z.at, "100")
	z.eventually("100 requests in the service", func() bool {
		_, out := z.run("status", "--json")
		return strings.Contains(out, `"done":0`) && z.connections(out) == 100
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		z.run("stop")
	}()
	z.eventually("draining", func() bool {
		_, out := z.run("status", "--json")
		return strings.Contains(out, "draining") || strings.Contains(out, "stopp")
	})
	if _, err := db.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	clients.end()
	<-stopped
	if n := z.stored("in flight %"); n != 100 {
		t.Errorf("%d requests are stored, want 100", n)
	}
}

// connections reads how many the transport has from a status.
func (z *zeromq) connections(status string) (n int) {
	_, rest, _ := strings.Cut(status, "listening on "+z.at+", ")
	_, _ = fmt.Sscanf(rest, "%d connection", &n)
	return n
}

// Pitfall 41: an address that changes under load loses nobody.
func TestZeroMQReload(t *testing.T) {
	z := newZeroMQ(t)
	// The environment of a daemon stays as it was, so here the file counts.
	z.env = z.env[:len(z.env)-1]
	z.set("transport.zeromq.bind", fmt.Sprintf("[%q]", z.at))
	z.want(0, "", "restart")
	clients := z.begin("steady", z.at, "4", "10")
	other := "tcp://" + freeAddress(t)
	for i := range 20 {
		z.set("transport.zeromq.bind", fmt.Sprintf("[%q]", []string{other, z.at}[i%2]))
		z.want(0, "reloaded", "reload")
	}
	t.Log(clients.line(), "requests, all answered")
	clients.end()
}

// Pitfall 50: an upgrade loses nobody, and the old process serves on whom it has.
func TestZeroMQUpgrade(t *testing.T) {
	z := newZeroMQ(t)
	clients := z.begin("steady", z.at, "3", "10")
	for range 3 {
		z.want(0, "upgraded", "upgrade")
		z.peers("simple", z.at)
	}
	t.Log(clients.line(), "requests, all answered")
	clients.end()
}

// Signals that interrupt system calls harm no request.
func TestZeroMQSignals(t *testing.T) {
	z := newZeroMQ(t)
	_, out := z.run("status", "--json")
	_, rest, _ := strings.Cut(out, `"pid":`)
	var pid int
	if _, err := fmt.Sscanf(rest, "%d", &pid); err != nil {
		t.Fatal(err)
	}
	clients := z.begin("steady", z.at, "2", "10")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.Log(clients.line(), "requests, all answered")
	}()
	for sent := 0; ; sent++ {
		select {
		case <-ended:
			t.Log(sent, "signals")
			clients.end()
			return
		case <-time.After(time.Millisecond):
		}
		if err := syscall.Kill(pid, []syscall.Signal{syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGURG}[sent%3]); err != nil {
			t.Fatal(err)
		}
	}
}

func TestZeroMQPull(t *testing.T) {
	z := newZeroMQ(t, "pattern", "pull")
	z.peers("push", z.at, "200000")
	z.peers("leaving", z.at)
	z.eventually("all messages to be stored", func() bool { return z.all() == 250000 })
	killed := z.command("push", z.at, "100000000")
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	z.eventually("more to come", func() bool { return z.all() > 260000 })
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait() // it was killed
	since := z.all()
	z.peers("leaving", z.at)
	z.eventually("those that came later", func() bool {
		return z.count("SELECT count(*) FROM exampled WHERE id > ? AND CAST(body AS TEXT) LIKE 'leaving'", since) == 50000
	})
}

// The service is there before the publisher, finds each that follows, and gets what
// it wants.
func TestZeroMQSub(t *testing.T) {
	for _, mechanism := range []string{"null", "curve"} {
		t.Run(mechanism, func(t *testing.T) {
			z := &zeromq{service: &service{t: t}, python: tool(t, "TEST_ZMQ_PYTHON")}
			ours, theirs := strings.Fields(z.peers("keypair")), strings.Fields(z.peers("keypair"))
			publisher := "tcp://" + freeAddress(t)
			z = newZeroMQ(t, "pattern", "sub", "bind", "", "connect", publisher, "topics", "a,b", "reconnect_max", "200ms",
				"mechanism", mechanism, "secret_key", ours[1], "server_public_key", theirs[0])
			args := []string{"XPUB", publisher}
			if mechanism == "curve" {
				args = append(args, theirs[1])
			}
			p := z.begin("publish", args...)
			for turn := range 3 {
				if turn > 0 {
					p.line()
				}
				want := 2000 * (turn + 1)
				z.eventually("all messages to be stored", func() bool { return z.stored("%") >= want })
				if _, err := fmt.Fprintln(p.in, "go on"); err != nil {
					t.Fatal(err)
				}
			}
			p.end()
			if a, b, all := z.stored("a%"), z.stored("b%"), z.stored("%"); a != 3000 || b != 3000 || all != 6000 {
				t.Errorf("%d of a, %d of b, %d in all", a, b, all)
			}
		})
	}
}

// Without descriptors the service waits, at no cost, and goes on when there are
// some again.
func TestZeroMQDescriptors(t *testing.T) {
	z := &zeromq{service: newService(t), python: tool(t, "TEST_ZMQ_PYTHON"), at: "tcp://" + freeAddress(t)}
	z.setKey("bind", z.at)
	z.env = append(z.env, "EXAMPLED_DAEMON_NOFILE=100")
	pid := z.start()
	var peers []net.Conn
	for range 200 {
		nc, err := net.Dial("tcp", strings.TrimPrefix(z.at, "tcp://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		peers = append(peers, nc)
	}
	z.eventually("the descriptors to be used up", func() bool {
		log, err := os.ReadFile(filepath.Join(z.dir, "log", "exampled.log"))
		return err == nil && strings.Contains(string(log), "connections have to wait")
	})
	before, began := cpuTime(t, pid), time.Now()
	time.Sleep(time.Second) // what it uses meanwhile is measured
	if used := cpuTime(t, pid) - before; used > time.Since(began)/5 {
		t.Errorf("%s of CPU while there are no descriptors", used)
	}
	for _, nc := range peers {
		_ = nc.Close()
	}
	z.peers("simple", z.at)
}

// cpuTime is how much a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
