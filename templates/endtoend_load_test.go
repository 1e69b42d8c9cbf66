package templates_test

// Load on the tcp transport while the daemon changes under it.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load is a number of clients of one kind. Each sends a line, reads the reply,
// and begins anew after a while, on the same connection until it has made its
// requests there.
type load struct {
	// Where the service may be: the next one is asked if one refuses. With more
	// than one, a connection that is reset before its first reply counts as
	// refused as well, once: the kernel was just letting it in when the service
	// left, and nothing can be done about that.
	addresses []string
	clients   int
	stay      int           // requests of a connection; 0: all that the client ever makes
	every     time.Duration // from one request of a client to its next; with 0 it does not wait

	stop        chan struct{}
	group       sync.WaitGroup
	connections atomic.Int64 // made

	mu        sync.Mutex
	failures  map[string]int // by kind
	latencies []time.Duration
}

// requestLimit is when a request has failed for want of a reply; none takes so
// long but by a fault.
const requestLimit = time.Minute

// begin starts the clients.
func (l *load) begin() {
	l.stop, l.failures = make(chan struct{}), make(map[string]int)
	for id := range l.clients {
		l.group.Go(func() { l.client(id) })
	}
}

// end stops the clients, and waits for the replies to what they have sent. It
// may be called twice, by one goroutine.
func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.group.Wait()
}

// take returns how long each request took since take was last called.
func (l *load) take() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	latencies := l.latencies
	l.latencies = nil
	return latencies
}

// failed returns how many requests failed, and a text with how many in which way.
func (l *load) failed() (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	var text []string
	for _, kind := range slices.Sorted(maps.Keys(l.failures)) {
		total += l.failures[kind]
		text = append(text, fmt.Sprintf("%d %s", l.failures[kind], kind))
	}
	return total, strings.Join(text, ", ")
}

// client makes requests until the end.
func (l *load) client(id int) {
	var conn *lineConn
	defer func() { conn.leave() }()
	next := time.Now()
	for n := 0; l.pause(next); n++ {
		next = later(next.Add(l.every), time.Now())
		if l.stay > 0 && n%l.stay == 0 {
			conn.leave()
			conn = nil
		}
		line := fmt.Sprintf("client %d line %d", id, n)
		began := time.Now()
		var err error
		fresh := conn == nil
		conn, err = l.request(conn, line)
		if fresh && len(l.addresses) > 1 && kindOf(err) == "reset" {
			conn.leave()
			conn, err = l.request(nil, line)
		}
		l.note(time.Since(began), err)
		if err != nil {
			conn.leave()
			conn = nil
		}
	}
}

// request makes a request on conn, or on a connection that it makes if there is
// none, and returns that.
func (l *load) request(conn *lineConn, line string) (*lineConn, error) {
	if conn == nil {
		var err error
		if conn, err = l.connect(); err != nil {
			return conn, err
		}
	}
	return conn, conn.ask(line)
}

// later is the later of two times: a client that is behind does not catch up.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pause waits until the time; false means that the load ends.
func (l *load) pause(until time.Time) bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(time.Until(until)):
		return true
	}
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures[kindOf(err)]++
		return
	}
	l.latencies = append(l.latencies, took)
}

// kindOf is in which way a request failed.
func kindOf(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, io.EOF):
		return "ended without a reply"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "without a reply in time"
	}
	return err.Error()
}

// lineConn is a connection of a client; nil if there is none.
type lineConn struct {
	net.Conn
	replies *bufio.Reader
}

// connect connects to the first of the addresses that does not refuse. The
// service may move while it is looked for, so each is asked more than once.
func (l *load) connect() (*lineConn, error) {
	var nc net.Conn
	var err error
	for range 3 {
		for _, address := range l.addresses {
			nc, err = connect(address)
			if err == nil {
				l.connections.Add(1)
				if tcp, ok := nc.(*net.TCPConn); ok {
					// Else each connection keeps its port for a minute, and 28000 of
					// them are all there are.
					err = tcp.SetLinger(0)
				}
				return &lineConn{nc, bufio.NewReader(nc)}, err
			}
			if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	return nil, err
}

func (c *lineConn) leave() {
	if c != nil {
		_ = c.Close()
	}
}

// ask sends a line and reads the reply.
func (c *lineConn) ask(line string) error {
	if err := c.SetDeadline(time.Now().Add(requestLimit)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return err
	}
	reply, err := c.replies.ReadString('\n')
	if err == nil && reply != "TRUE\n" {
		err = fmt.Errorf("answered with %q", reply)
	}
	return err
}

// quantile is the least value that a part of all values, such as 0.99, does not
// exceed. It sorts them.
func quantile[T int | float64 | time.Duration](values []T, part float64) T {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(part*float64(len(values))))]
}

// underLoad starts clients that come and go, some hundred connections a second,
// and clients that stay, which are to make stay requests on each connection.
// They end with the test, which fails if a request did.
func (s *service) underLoad(stay int, addresses ...string) (visitors, residents *load) {
	s.t.Helper()
	visitors = &load{addresses: addresses, clients: 16, stay: 1, every: 20 * time.Millisecond}
	residents = &load{addresses: addresses, clients: 16, stay: stay, every: 5 * time.Millisecond}
	for _, l := range []*load{visitors, residents} {
		l.begin()
		s.t.Cleanup(l.end)
	}
	s.eventually("the clients are served", func() bool { return residents.connections.Load() >= 16 && visitors.connections.Load() >= 100 })
	return visitors, residents
}

// noneFailed ends the loads and fails the test unless all went well.
func (s *service) noneFailed(loads ...*load) {
	s.t.Helper()
	for _, l := range loads {
		l.end()
		if n, kinds := l.failed(); n > 0 {
			s.t.Errorf("%d requests failed of clients that make %d on a connection, of which there were %d: %s", n, l.stay, l.connections.Load(), kinds)
		}
	}
}

// Reloads that change what they can are not noticed by anybody: no request
// fails, and the slowest take no more than twice as long as without reloads.
//
// The two are compared by turns. Without reloads the same program is called as
// often, for check, which does all that the command for the reload does but
// to ask the daemon: how busy the machine is with that is no matter of ours.
func TestReloadUnderLoad(t *testing.T) {
	const pairs, reloads = 10, 4 // windows of each kind; reloads in each
	s := newService(t)
	pid := s.start()
	visitors, residents := s.underLoad(0, s.address)
	generation := 1
	window := func(call func(i int)) time.Duration {
		visitors.take()
		residents.take()
		for i := range reloads {
			call(i)
			time.Sleep(50 * time.Millisecond) // for the load, not for the daemon
		}
		return quantile(append(visitors.take(), residents.take()...), 0.99)
	}
	var steady, reloading []time.Duration
	for range pairs {
		steady = append(steady, window(func(int) { s.want(0, ``, "check") }))
		reloading = append(reloading, window(func(i int) {
			generation++
			s.set("worker.count", strconv.Itoa(4+generation%13))
			s.set("worker.batch", strconv.Itoa(64+generation%7))
			s.set("log.level", strconv.Quote([]string{"info", "warn", "error"}[generation%3]))
			s.want(0, fmt.Sprintf(`reloaded \(pid %d, generation %d\)`, pid, generation), "reload")
		}))
	}
	s.noneFailed(visitors, residents)
	before, during := quantile(steady, 0.5), quantile(reloading, 0.5)
	t.Logf("99 of 100 requests within %v, while reloading %v; %d connections", before, during, visitors.connections.Load())
	if during > 2*before {
		t.Errorf("99 of 100 requests take up to %v while reloading, %v else: more than twice as long\nreloading %v\nelse %v", during, before, reloading, steady)
	}
}

// A reload that moves the service to another address leaves alone who is
// connected, and whoever comes is served at one address or the other.
func TestMoveUnderLoad(t *testing.T) {
	overStreams(t, func(t *testing.T, s *service, address string) {
		key, there := "transport.tcp.listen", freeAddress(t)
		if strings.HasPrefix(address, "/") {
			// Where the service, which is not root, may make files and remove them.
			key, address, there = "transport.unix.path", filepath.Join(s.dir, "state", "a.sock"), filepath.Join(s.dir, "state", "b.sock")
			s.set(key, strconv.Quote(address))
		}
		s.start()
		visitors, residents := s.underLoad(0, address, there)
		for i := range 20 {
			s.set(key, strconv.Quote([]string{there, address}[i%2]))
			s.want(0, `reloaded`, "reload")
		}
		s.noneFailed(visitors, residents)
		if strings.HasPrefix(there, "/") {
			if _, err := os.Stat(there); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket that was given up is left behind: %v", err)
			}
		}
	})
}

// Pitfalls 50 and 51: of the connections made while one process takes over from
// the other, none fails.
func TestUpgradeUnderLoad(t *testing.T) {
	overStreams(t, func(t *testing.T, s *service, address string) {
		if strings.HasPrefix(address, "/") {
			s.upgradeUnderLoad(address, 10, 10000) // the same engine
		} else {
			s.upgradeUnderLoad(address, 60, 50000)
		}
	})
}

func (s *service) upgradeUnderLoad(address string, times, connections int) {
	t := s.t
	t.Helper()
	pid := s.start()
	// Nobody stays for long, so that the old processes end.
	quiet, residents := s.underLoad(40, address)
	visitors := &load{addresses: []string{address}, clients: 16, stay: 1}
	visitors.begin()
	t.Cleanup(visitors.end)
	pids := regexp.MustCompile(`upgraded \(pid (\d+) -> (\d+)\)`)
	var old []int
	for i := range times {
		for began := time.Now(); visitors.connections.Load() < int64(i*connections/times); time.Sleep(time.Millisecond) {
			if n, kinds := visitors.failed(); n > 0 || time.Since(began) > 2*time.Minute {
				t.Fatalf("before upgrade %d: %d connections, failed: %s", i, visitors.connections.Load(), kinds)
			}
		}
		match := pids.FindStringSubmatch(s.want(0, pids.String(), "upgrade"))
		from, _ := strconv.Atoi(match[1]) // digits
		to, _ := strconv.Atoi(match[2])
		if from != pid || to == pid {
			t.Fatalf("upgrade %d went from %d to %d, the daemon was %d", i, from, to, pid)
		}
		old, pid = append(old, from), to
	}
	s.eventually("enough connections", func() bool { return visitors.connections.Load() >= int64(connections) })
	s.noneFailed(visitors, quiet, residents)
	s.want(0, fmt.Sprintf(`pid %d\b`, pid), "status")
	for _, pid := range old {
		s.eventually(fmt.Sprintf("the old process %d has ended", pid), func() bool { return !alive(pid) })
	}
}

// alive reports whether pid runs. A zombie does not: who reaps it may take his
// time.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}
