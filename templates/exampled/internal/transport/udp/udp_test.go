package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/leftout"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

func TestMain(m *testing.M) { os.Exit(leftout.Main(m)) }

// served is a transport that serves.
type served struct {
	*Transport
	*transporttest.Serving
}

func newTransport(t *testing.T, change func(c *Config)) *Transport {
	t.Helper()
	return newTransportOn(t, net.ListenPacket, change)
}

func newTransportOn(t *testing.T, listen func(network, address string) (net.PacketConn, error), change func(c *Config)) *Transport {
	t.Helper()
	c := Default().(*Config)
	c.Listen = "127.0.0.1:0"
	if change != nil {
		change(c)
	}
	made, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), ListenPacket: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	return made.(*Transport)
}

func serve(t *testing.T, tr *Transport, q transport.Queue) *served {
	t.Helper()
	return &served{tr, transporttest.Serve(t, tr, q)}
}

// peer is who sends datagrams to an address.
type peer struct {
	t *testing.T
	*net.UDPConn
}

func dial(t *testing.T, address net.Addr) peer {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, address.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return peer{t, conn}
}

func (p peer) send(messages ...string) {
	p.t.Helper()
	for _, m := range messages {
		if _, err := p.Write([]byte(m)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// receive returns the next reply, "" if none comes in time.
func (p peer) receive(within time.Duration) string {
	p.t.Helper()
	buffer := make([]byte, largest)
	_ = p.SetReadDeadline(time.Now().Add(within))
	n, err := p.Read(buffer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return string(buffer[:n])
}

// wantStatus waits until the status has all of these: a message is counted a moment
// after it was taken.
func wantStatus(t *testing.T, s *served, parts ...string) {
	t.Helper()
	transporttest.Poll(t, fmt.Sprintf("status with %q", parts), func() bool {
		status := s.Status()
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(status, part) })
	})
}

func (p peer) want(reply string) {
	p.t.Helper()
	if got := p.receive(transporttest.Patience); got != reply {
		p.t.Errorf("reply %.40q, want %.40q", got, reply)
	}
}

func TestReplies(t *testing.T) {
	s := serve(t, newTransport(t, nil), new(transporttest.Echo))
	var peers sync.WaitGroup
	for i := range 8 {
		p := dial(t, s.Addr())
		peers.Go(func() {
			for n := range 200 {
				m := fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("x", n*n%1999))
				p.send(m)
				p.want(m)
			}
		})
	}
	peers.Wait()
	p := dial(t, s.Addr())
	p.send("")
	if n, err := p.Read(make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("an empty message is answered by %d bytes, %v", n, err)
	}
	wantStatus(t, s, "listening on 127.0.0.1:", ", 1601 messages, 0 dropped for want of room, 0 too long, 0 replies not sent")
}

// A reply comes after the message is settled, whatever the order, and bodies last
// until then.
func TestReplyAfterSettling(t *testing.T) {
	q := make(transporttest.Queue)
	s := serve(t, newTransport(t, nil), q)
	a, b := dial(t, s.Addr()), dial(t, s.Addr())
	a.send("one")
	first := q.Take(t)
	b.send("two")
	second := q.Take(t)
	second.Settle([]byte("2"), nil)
	b.want("2")
	if got := string(first.Body()); got != "one" {
		t.Errorf("the body became %q", got)
	}
	if got := a.receive(20 * time.Millisecond); got != "" {
		t.Errorf("reply %q before the message is settled", got)
	}
	first.Settle([]byte("FALSE"), errors.New("failed for good"))
	a.want("FALSE")
}

func TestNoReply(t *testing.T) {
	q := make(transporttest.Queue)
	tr := newTransport(t, func(c *Config) { c.Reply = false })
	s := serve(t, tr, q)
	p := dial(t, s.Addr())
	p.send("one")
	q.Take(t).Settle([]byte("TRUE"), nil)
	to := *tr.settings.Load()
	to.Reply = true
	change, err := s.Reload(&to)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	p.send("two")
	q.Take(t).Settle([]byte("2"), nil)
	p.want("2") // and so none to the first
	p.send("three")
	q.Take(t).Settle(nil, transport.ErrStopped)
	if got := p.receive(20 * time.Millisecond); got != "" {
		t.Errorf("reply %q to a message that is given back", got)
	}
}

// What is too long is dropped, whole, and what is not is whole.
func TestTooLong(t *testing.T) {
	s := serve(t, newTransport(t, func(c *Config) { c.MaxMessage = 1000 }), new(transporttest.Echo))
	p := dial(t, s.Addr())
	for _, n := range []int{1001, 2000, 60000} {
		p.send(strings.Repeat("x", n))
	}
	longest := strings.Repeat("y", 1000)
	p.send(longest)
	p.want(longest)
	wantStatus(t, s, " 1 messages, ", " 3 too long")
}

// The longest datagrams that there are.
func TestLargest(t *testing.T) {
	s := serve(t, newTransport(t, func(c *Config) { c.MaxMessage, c.ReceiveBuffer = largest, 0 }), new(transporttest.Echo))
	p := dial(t, s.Addr())
	longest := strings.Repeat("y", 65507) // over IPv4
	p.send(longest)
	p.want(longest)
}

// Pitfall 66: while the workers have no room nothing is read, and memory is not
// taken. The kernel drops what it has no room for, which is counted.
func TestBackPressure(t *testing.T) {
	q := make(transporttest.Queue)
	s := serve(t, newTransport(t, func(c *Config) { c.ReceiveBuffer = 32 << 10 }), q)
	p := dial(t, s.Addr())
	before := heap()
	large := strings.Repeat("x", 4<<10)
	const sent = 4000
	for range sent {
		p.send(large)
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes are held of what the queue did not take", grown)
	}
	came := 0
	for {
		select {
		case m := <-q:
			came++
			m.Settle(nil, nil)
			continue
		case <-time.After(200 * time.Millisecond):
		}
		break
	}
	if came == 0 || came == sent {
		t.Errorf("%d of %d messages came", came, sent)
	}
	if _, err := os.Stat("/proc/self/net/udp"); err != nil {
		leftout.Impossible(t, "a count of the datagrams that it drops")
	}
	wantStatus(t, s, fmt.Sprintf(" %d messages, %d dropped ", came, sent-came))
}

// heap is how much memory is in use, in bytes.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// What was taken is answered when the service stops.
func TestStop(t *testing.T) {
	for name, stop := range map[string]func(s *served){
		"end of the context": func(s *served) { s.Cancel() },
		"retire":             func(s *served) { s.Retire(); s.Retire() },
	} {
		t.Run(name, func(t *testing.T) {
			q := make(transporttest.Queue)
			s := serve(t, newTransport(t, nil), q)
			p := dial(t, s.Addr())
			p.send("one")
			m := q.Take(t)
			stop(s)
			transporttest.Poll(t, "it listens no more", func() bool { return s.Addr() == nil })
			if s.Ended() {
				t.Error("Serve does not wait for the message")
			}
			if _, err := s.Reload(s.settings.Load()); !errors.Is(err, transport.ErrStopped) {
				t.Errorf("Reload: %v", err)
			}
			m.Settle([]byte("1"), nil)
			p.want("1")
			s.Wait()
			if got := s.Status(); !strings.HasPrefix(got, "stopped, 1 messages") {
				t.Error(got)
			}
		})
	}
}

func TestClose(t *testing.T) {
	q := make(transporttest.Queue)
	s := serve(t, newTransport(t, nil), q)
	dial(t, s.Addr()).send("one")
	m := q.Take(t)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	s.Wait()
	m.Settle([]byte("1"), nil) // too late, and no harm
	if err := s.Serve(t.Context(), q); err != nil {
		t.Error(err)
	}

	idle := newTransport(t, nil)
	address := idle.Addr().String()
	idle.Retire()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatalf("who never served holds its address: %v", err)
	}
	_ = conn.Close()
	if err := idle.Serve(t.Context(), q); err != nil {
		t.Error(err)
	}
}

// At another address nothing is lost of what was sent to the old one before, and
// it is answered from there.
func TestReloadAddress(t *testing.T) {
	q := make(transporttest.Queue)
	tr := newTransport(t, nil)
	s := serve(t, tr, q)
	before := dial(t, s.Addr())
	before.send("one")
	first := q.Take(t)
	before.send("two", "three") // in the kernel's buffer, or on the way to the queue
	to := *tr.settings.Load()
	to.Listen = "127.0.0.1:00"
	aborted, err := s.Reload(&to)
	if err != nil {
		t.Fatal(err)
	}
	aborted.Abort()
	change, err := s.Reload(&to)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if s.Addr().String() == before.RemoteAddr().String() {
		t.Fatal("the address is the same")
	}
	after := dial(t, s.Addr())
	after.send("four")
	var all []transport.Message
	for range 3 {
		all = append(all, q.Take(t))
	}
	for _, m := range append(all, first) {
		m.Settle(m.Body(), nil)
	}
	after.want("four")
	var got []string
	for range 3 {
		got = append(got, before.receive(transporttest.Patience))
	}
	if slices.Sort(got); !slices.Equal(got, []string{"one", "three", "two"}) {
		t.Errorf("replies from the old address: %q", got)
	}
	transporttest.Poll(t, "the old socket is closed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.open) == 1
	})
}

func TestReloadFails(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	tr := newTransport(t, nil)
	s := serve(t, tr, new(transporttest.Echo))
	to := *tr.settings.Load()
	to.Listen, to.MaxMessage = taken.LocalAddr().String(), 1
	if _, err := s.Reload(&to); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("the address of another: %v", err)
	}
	p := dial(t, s.Addr())
	p.send("as before")
	p.want("as before")
}

// A process that takes over shares the socket: what arrives is read by one of them,
// and by the other alone once this one has retired.
func TestHandover(t *testing.T) {
	tr := newTransport(t, nil)
	shared := sharing(t, tr.endpoint.conn)
	held := make(transporttest.Queue, 1)
	old := serve(t, tr, first{held, &sync.Once{}})
	p := dial(t, old.Addr())
	p.send("one")
	m := held.Take(t)
	old.Retire()
	p.send("two") // which either may read
	fresh := serve(t, newTransportOn(t, func(string, string) (net.PacketConn, error) { return shared, nil }, nil), new(transporttest.Echo))
	p.want("two")
	m.Settle([]byte("one"), nil)
	p.want("one")
	old.Wait()
	p.send("three")
	p.want("three")
	fresh.Cancel()
	fresh.Wait()
}

// What was read before the process retired can't be read by the other one: it is
// handled still, though the workers have no room at that moment.
func TestRetireHandsOnWhatWasRead(t *testing.T) {
	q := waiting{make(transporttest.Queue), make(chan context.Context, 1)}
	s := serve(t, newTransport(t, nil), q)
	p := dial(t, s.Addr())
	p.send("one")
	submitting := <-q.begun
	s.Retire()
	select {
	case <-submitting.Done():
		t.Error("the message is not waited for")
	case <-time.After(50 * time.Millisecond): // a moment for what would end it
	}
	q.Take(t).Settle([]byte("1"), nil)
	p.want("1")
	s.Wait()
}

// waiting tells when a message waits for room, and for how long it will.
type waiting struct {
	transporttest.Queue
	begun chan context.Context
}

func (w waiting) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	w.begun <- ctx
	return w.Queue.Submit(ctx, messages)
}

// sharing returns another descriptor of the socket. UDPConn.File would not do: of
// that, net.FilePacketConn puts the socket into blocking mode, for both.
func sharing(t *testing.T, conn *net.UDPConn) net.PacketConn {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	if e := raw.Control(func(of uintptr) { fd, err = syscall.Dup(int(of)) }); errors.Join(e, err) != nil {
		t.Fatal(e, err)
	}
	file := os.NewFile(uintptr(fd), "")
	defer func() { _ = file.Close() }()
	other, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// first hands on the first message, and answers the others with themselves.
type first struct {
	to   transporttest.Queue
	once *sync.Once
}

func (f first) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	to := new(transporttest.Echo).Submit
	f.once.Do(func() { to = f.to.Submit })
	return to(ctx, messages)
}

// Nothing is left behind, and none is needed after many lives.
func TestLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		s := serve(t, newTransport(t, nil), new(transporttest.Echo))
		p := dial(t, s.Addr())
		p.send("x")
		p.want("x")
		s.Cancel()
		s.Wait()
	}
	transporttest.Poll(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}

func TestValidate(t *testing.T) {
	var got []string
	report := func(key, reason string) { got = append(got, key+" "+reason) }
	Default().Validate(report)
	if got != nil {
		t.Errorf("the defaults: %q", got)
	}
	(&Config{Listen: "7001", ReceiveBuffer: 2 << 30}).Validate(report)
	(&Config{Listen: ":http", MaxMessage: largest + 1}).Validate(report)
	want := []string{
		`listen must be HOST:PORT, such as 127.0.0.1:7001 or [::1]:7001, is "7001"`,
		"max_message must be from 1B to 65527B, is 0B",
		"receive_buffer must be at most 1GiB, is 2GiB",
		`listen must end in a port from 0 to 65535, is ":http"`,
		"max_message must be from 1B to 65527B, is 65528B",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
