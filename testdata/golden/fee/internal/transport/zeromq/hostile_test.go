// What peers do that they should not, each time followed by a peer that has to be
// served.

package zeromq

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/fee/internal/config"
	"example.com/fee/internal/transport/transporttest"
	"example.com/fee/internal/transport/zeromq/zmtp"
)

var discard = slog.New(slog.DiscardHandler)

// memory is how much of it is in use, in bytes.
func memory() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// descriptors is 0 on systems that do not list them in a folder.
func descriptors() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// nasty is something that a peer may send.
type nasty struct {
	name  string
	bytes []byte
}

// sizes are those at which something may break: of bytes, of integers of any
// width, and of what a program can allocate.
var sizes = []uint64{
	1<<8 - 1, 1 << 8, 1<<14 + 1, 1 << 20, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 40, 1<<62 - 1, 1 << 62,
	1<<63 - 10, 1<<63 - 1, 1 << 63, 1<<64 - 10, 1<<64 - 1,
}

// longFrame is a frame that announces so much, and has 64 bytes of it.
func longFrame(flags byte, size uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{flags | 2}, size), make([]byte, 64)...)
}

// shortFrame is a frame with up to 255 bytes.
func shortFrame(flags byte, body string) []byte {
	return append([]byte{flags, byte(len(body))}, body...)
}

// greetingFor is the greeting of a good peer.
func greetingFor(mechanism string) []byte {
	b := make([]byte, 64)
	b[0], b[9], b[10], b[11] = 0xff, 0x7f, 3, 1
	copy(b[12:], mechanism)
	return b
}

const ready = "\x05READY\x0bSocket-Type\x00\x00\x00\x03REQ\x08Identity\x00\x00\x00\x00"

// nastiness makes what is wrong at each stage: before the greeting, in each of its
// fields and at each of its ends, in the handshake, and after it.
func nastiness() (all []nasty) {
	add := func(name string, parts ...[]byte) {
		all = append(all, nasty{name, bytes.Join(parts, nil)})
	}
	greeting, hello := greetingFor("NULL"), shortFrame(4, ready)
	add("HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	add("TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), make([]byte, 500))
	add("SSH", []byte("SSH-2.0-OpenSSH_9.2p1\r\n"))
	add("Redis", []byte("*1\r\n$4\r\nPING\r\n"))
	add("ZMTP 1.0", []byte("\x01\x00\x06\x00hello"))
	add("ZMTP 1.0, long", append([]byte{0xff}, make([]byte, 30)...))
	add("ZMTP 2.0", []byte("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x05\x00\x00"))
	add("zeros", make([]byte, 1000))
	add("ones", bytes.Repeat([]byte{0xff}, 1000))
	for n := 1; n < len(greeting); n += 3 {
		add(fmt.Sprintf("%d bytes of a greeting", n), greeting[:n])
	}
	for at := range 33 {
		changed := bytes.Clone(greeting)
		changed[at] ^= 0xff
		add(fmt.Sprintf("greeting with byte %d changed", at), changed, hello)
	}
	for _, mechanism := range []string{"PLAIN", "CURVE", "GSSAPI", "null", "NULL\x00X", strings.Repeat("N", 20), ""} {
		add("mechanism "+mechanism, greetingFor(mechanism), hello)
	}
	for n := 1; n < len(hello); n += 4 {
		add(fmt.Sprintf("%d bytes of a READY", n), greeting, hello[:n])
	}
	for n := 0; n < len(ready); n += 4 { // of the right frame, but not a whole command
		add(fmt.Sprintf("READY that is %d bytes long", n), greeting, shortFrame(4, ready[:n]))
	}
	for _, size := range sizes {
		add(fmt.Sprintf("READY of %d bytes", size), greeting, longFrame(4, size))
		add(fmt.Sprintf("message of %d bytes before READY", size), greeting, longFrame(0, size))
		add(fmt.Sprintf("property of %d bytes", size), greeting,
			shortFrame(4, "\x05READY\x0bSocket-Type"+string(binary.BigEndian.AppendUint32(nil, uint32(size)))+"REQ"))
		add(fmt.Sprintf("message of %d bytes", size), greeting, hello, longFrame(0, size))
		add(fmt.Sprintf("second frame of %d bytes", size), greeting, hello, shortFrame(1, ""), longFrame(0, size))
		add(fmt.Sprintf("command of %d bytes", size), greeting, hello, longFrame(4, size))
	}
	for _, socket := range []string{"", "PUB", "PUSH", "REP", "req", "REQ\x00", strings.Repeat("R", 100)} {
		property := "\x05READY\x0bSocket-Type" + string(binary.BigEndian.AppendUint32(nil, uint32(len(socket)))) + socket
		add("socket type "+socket, greeting, shortFrame(4, property))
	}
	for _, command := range []string{"", "\x00", "\xff", "\x05HELLO", "\x08INITIATE", "\x07WELCOME", "\x05ERROR", "\x05ERROR\xff", "\x05ERROR\x03400"} {
		add(fmt.Sprintf("%q instead of READY", command), greeting, shortFrame(4, command))
		add(fmt.Sprintf("%q after READY", command), greeting, hello, shortFrame(4, command))
	}
	add("two READY", greeting, hello, hello)
	add("identity of 255 bytes", greeting, shortFrame(4, "\x05READY\x08Identity\x00\x00\x00\xf0"+strings.Repeat("i", 240)))
	for flags := 3; flags < 256; flags += 11 {
		add(fmt.Sprintf("flags %#x", flags), greeting, hello, []byte{byte(flags), 5}, make([]byte, 20))
	}
	for _, body := range []string{"", "\x00", strings.Repeat("p", 19), strings.Repeat("p", 200)} {
		add(fmt.Sprintf("PING with %d bytes", len(body)), greeting, hello, shortFrame(4, "\x04PING"+body))
	}
	add("100,000 parts", greeting, hello, bytes.Repeat(shortFrame(1, ""), 100000))
	add("100,000 pings", greeting, hello, bytes.Repeat(shortFrame(4, "\x04PING\x00\x00"), 100000))
	add("100,000 unknown commands", greeting, hello, bytes.Repeat(shortFrame(4, "\x01X"), 100000))
	add("message cut off", greeting, hello, shortFrame(1, ""), []byte{0, 200}, make([]byte, 100))
	add("message without an end", greeting, hello, shortFrame(1, ""), shortFrame(1, "x"))
	return all
}

// Whatever a peer sends, the next is served, and nothing is left of it.
func TestGarbage(t *testing.T) {
	for _, m := range []string{null, plain, curve} {
		t.Run(m, func(t *testing.T) {
			server := zmtp.NewKey()
			c := testConfig()
			c.Mechanism, c.Username, c.Password, c.SecretKey, c.ClientPublicKeys = m, "u", "p", config.Secret(server.Text()), []string{"*"}
			good := peerOptions("REQ")
			switch m {
			case plain:
				good.Mechanism = zmtp.PlainClient{Username: "u", Password: "p"}
			case curve:
				good.Mechanism = zmtp.CurveClient{Secret: zmtp.NewKey(), Server: server.Public()}
			}
			s := serve(t, c, new(transporttest.Echo))
			s.dial(good).ask(t, "warm up")
			all := nastiness()
			if len(all) < 200 {
				t.Errorf("%d kinds of garbage only", len(all))
			}
			before, opened := memory(), descriptors()
			for _, nasty := range all {
				// Whether the peer hangs up or stays and says no more, it is the same.
				text := nasty.bytes
				if m != null { // the same, behind a greeting that is right
					text = bytes.Replace(text, []byte("NULL\x00"), append([]byte(strings.ToUpper(m)), 0)[:5], 1)
				}
				stays, goes := dialRaw(t, s.Addr()), dialRaw(t, s.Addr())
				_, _ = stays.Write(text) // may be refused
				_, _ = goes.Write(text)
				_ = goes.Close()
				p := s.dial(good)
				if got := p.ask(t, "good"); got != "good" {
					t.Fatalf("after %s a good peer is answered %q", nasty.name, got)
				}
				_, _ = p.Close(), stays.Close()
			}
			transporttest.Poll(t, "the connections to end", func() bool { return strings.Contains(s.Status(), " 1 connection,") })
			if grown := memory() - before; grown > 8<<20 {
				t.Errorf("%d bytes of memory are left", grown)
			}
			transporttest.Poll(t, "the descriptors to close", func() bool { return descriptors() <= opened })
		})
	}
}

func dialRaw(t *testing.T, where net.Addr) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout(where.Network(), where.String(), transporttest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// Peers that say nothing, or only begin, keep nobody from being served, and are
// gone when their time is over.
func TestHalfOpen(t *testing.T) {
	c := testConfig()
	c.HandshakeTimeout = config.Duration(time.Second)
	s := serve(t, c, new(transporttest.Echo))
	var half []net.Conn
	for _, n := range []int{0, 10, 64} {
		for range 20 {
			nc := dialRaw(t, s.Addr())
			defer func() { _ = nc.Close() }()
			if _, err := nc.Write(greetingFor("NULL")[:n]); err != nil {
				t.Fatal(err)
			}
			half = append(half, nc)
		}
	}
	s.dial(peerOptions("REQ")).ask(t, "good")
	for _, nc := range half {
		if _, err := drained(nc); err != nil {
			t.Errorf("not closed: %v", err)
		}
	}
}

// However often peers come and go, nothing is left of them.
func TestChurn(t *testing.T) {
	s := serve(t, testConfig(), new(transporttest.Echo))
	options := peerOptions("REQ")
	cycle := func(n int) {
		a := s.Addr()
		p, err := connect(address{a.Network(), a.String()}, options)
		if err != nil {
			t.Fatal(err)
		}
		switch n % 4 {
		case 0: // gone at once
		case 1: // gone in the handshake
			_, _ = p.nc.Write(greetingFor("NULL")[:n%64])
		case 2: // gone in a message
			_, _ = p.Write([]byte{1, 0, 0, 100, 'x'})
		case 3:
			p.ask(t, "in")
		}
		_ = p.nc.(*net.TCPConn).SetLinger(0) // leave no port behind
		_ = p.Close()
	}
	settled := func() {
		transporttest.Poll(t, "the connections to end", func() bool { return strings.Contains(s.Status(), " 0 connections,") })
	}
	for n := range 100 {
		cycle(n)
	}
	settled()
	goroutines, opened, before := runtime.NumGoroutine(), descriptors(), memory()
	for n := range 10000 {
		cycle(n)
	}
	settled()
	transporttest.Poll(t, "goroutines and descriptors as before", func() bool {
		return runtime.NumGoroutine() <= goroutines && descriptors() <= opened
	})
	if grown := memory() - before; grown > 1<<20 {
		t.Errorf("%d bytes of memory are left", grown)
	}
}
