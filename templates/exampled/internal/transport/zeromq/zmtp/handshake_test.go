package zmtp

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for what has to happen.
const patience = 30 * time.Second

func testOptions(socketType string, m Mechanism) Options {
	return Options{
		SocketType: socketType, Mechanism: m,
		MaxMessage: 1 << 20, MaxFrames: 10,
		HandshakeTimeout: patience, WriteTimeout: patience,
	}
}

// connection returns the two ends of a connection that the kernel buffers.
func connection(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	for _, nc := range []net.Conn{a, b} {
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// shake has two sides agree with each other. One that fails hangs up.
func shake(t *testing.T, a, b Options) (x, y *Conn, xErr, yErr error) {
	t.Helper()
	nc, other := connection(t)
	return shakeOn(nc, other, a, b)
}

func shakeOn(nc, other net.Conn, a, b Options) (x, y *Conn, xErr, yErr error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if y, yErr = Handshake(other, b); yErr != nil {
			_ = other.Close()
		}
	}()
	if x, xErr = Handshake(nc, a); xErr != nil {
		_ = nc.Close()
	}
	<-done
	return x, y, xErr, yErr
}

// receive returns the frames of the next message.
func receive(t *testing.T, c *Conn) [][]byte {
	t.Helper()
	for {
		frames, ok, err := c.Next()
		if ok {
			return frames
		}
		if err == nil {
			err = c.Fill()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A pair of mechanisms that agree.
type pair struct{ server, client Mechanism }

func agreeing() map[string]pair {
	server, client := NewKey(), NewKey()
	return map[string]pair{
		"null":  {Null{}, Null{}},
		"plain": {PlainServer{"user", "password"}, PlainClient{"user", "password"}},
		"curve": {
			CurveServer{server, func(k Key) bool { return k == client.Public() }},
			CurveClient{client, server.Public()},
		},
	}
}

func TestHandshake(t *testing.T) {
	for name, m := range agreeing() {
		t.Run(name, func(t *testing.T) {
			a, b := testOptions("ROUTER", m.server), testOptions("DEALER", m.client)
			b.Identity = "somebody"
			x, y, xErr, yErr := shake(t, a, b)
			if xErr != nil || yErr != nil {
				t.Fatal(xErr, yErr)
			}
			if socket, identity := x.Peer(); socket != "DEALER" || identity != "somebody" {
				t.Errorf("the peer is a %q called %q", socket, identity)
			}
			if socket, identity := y.Peer(); socket != "ROUTER" || identity != "" {
				t.Errorf("the peer is a %q called %q", socket, identity)
			}
			for _, size := range []int{0, 1, 254, 255, 256, 257, 10000, 1 << 19} {
				body := bytes.Repeat([]byte("x"), size)
				y.Send([][]byte{{}, []byte("envelope")}, nil, body)
				got := receive(t, x)
				if len(got) != 4 || string(got[1]) != "envelope" || len(got[2]) != 0 || !bytes.Equal(got[3], body) {
					t.Fatalf("%d bytes came as %d frames", size, len(got))
				}
				x.Send(nil, got...)
				if got := receive(t, y); len(got) != 4 || !bytes.Equal(got[3], body) {
					t.Fatalf("%d bytes came back as %d frames", size, len(got))
				}
			}
		})
	}
}

// Neither side serves one that it does not want, and both say so.
func TestRefused(t *testing.T) {
	server, client, stranger := NewKey(), NewKey(), NewKey()
	curveServer := CurveServer{server, func(k Key) bool { return k == client.Public() }}
	plainServer := PlainServer{"user", "password"}
	for _, test := range []struct {
		name           string
		server, client Mechanism
	}{
		{"wrong password", plainServer, PlainClient{"user", "passwort"}},
		{"wrong user", plainServer, PlainClient{"use", "password"}},
		{"longer password", plainServer, PlainClient{"user", "password\x00"}},
		{"no password", plainServer, PlainClient{"user", ""}},
		{"plain with null", plainServer, Null{}},
		{"curve with null", curveServer, Null{}},
		{"curve with plain", curveServer, PlainClient{"user", "password"}},
		{"two servers", plainServer, plainServer},
		{"unknown client", curveServer, CurveClient{stranger, server.Public()}},
		{"another server", curveServer, CurveClient{client, stranger.Public()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			x, y, xErr, yErr := shake(t, testOptions("PULL", test.server), testOptions("PUSH", test.client))
			if x != nil || !errors.Is(xErr, ErrAuthentication) {
				t.Errorf("the server: %v", xErr)
			}
			if y != nil || yErr == nil {
				t.Errorf("the client: %v", yErr)
			}
			for _, err := range []error{xErr, yErr} {
				if strings.Contains(err.Error(), "password\"") || strings.Contains(err.Error(), "passwor ") {
					t.Errorf("the error tells the password: %v", err)
				}
			}
		})
	}
}

// A server of libzmq does not say that it is one, and two clients find out all the
// same.
func TestRoles(t *testing.T) {
	m := agreeing()["plain"]
	nc, other := connection(t)
	silent := &meddler{Conn: nc, change: func(b []byte) []byte {
		if len(b) == greetingSize {
			b[mechanismEnd] = 0
		}
		return b
	}}
	_, _, xErr, yErr := shakeOn(silent, other, testOptions("PUSH", m.server), testOptions("PULL", m.client))
	if xErr != nil || yErr != nil {
		t.Error(xErr, yErr)
	}
	_, _, xErr, yErr = shake(t, testOptions("PUSH", m.client), testOptions("PULL", m.client))
	if !errors.Is(xErr, ErrProtocol) && !errors.Is(yErr, ErrProtocol) {
		t.Errorf("two clients: %v, %v", xErr, yErr)
	}
}

// Sockets whose types do not belong together don't speak to each other.
func TestPartners(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"ROUTER", "REQ", true}, {"ROUTER", "DEALER", true}, {"PULL", "PUSH", true}, {"SUB", "PUB", true},
		{"ROUTER", "PUSH", false}, {"PULL", "REQ", false}, {"SUB", "PUSH", false}, {"ROUTER", "", false},
		{"ROUTER", "PUB", false}, {"PULL", "PULL", false},
	} {
		_, _, err, _ := shake(t, testOptions(test.a, Null{}), testOptions(test.b, Null{}))
		if (err == nil) != test.want || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s with %s: %v", test.a, test.b, err)
		}
	}
}

// A peer that goes anywhere in the handshake is told from one that agrees.
func TestTruncatedHandshake(t *testing.T) {
	for name, m := range agreeing() {
		sent := recordClient(t, m)
		for n := range sent {
			nc := &script{input: sent[:n], piece: 50}
			if _, err := Handshake(nc, testOptions("ROUTER", m.server)); err == nil {
				t.Errorf("%s: agreed on %d bytes of %d", name, n, len(sent))
			}
		}
	}
}

// A peer that says nothing more is given up in time, wherever it stops.
func TestSilentHandshake(t *testing.T) {
	for name, m := range agreeing() {
		sent := recordClient(t, m)
		for _, n := range []int{0, 1, 10, 63, 64, 66, 90} {
			nc, other := connection(t)
			if _, err := other.Write(sent[:n]); err != nil {
				t.Fatal(err)
			}
			o := testOptions("ROUTER", m.server)
			o.HandshakeTimeout = 5 * time.Millisecond
			_, err := Handshake(nc, o)
			if netErr, ok := errors.AsType[net.Error](err); !ok || !netErr.Timeout() {
				t.Errorf("%s: %d bytes of %d: %v", name, n, len(sent), err)
			}
			_ = nc.Close()
			_ = other.Close()
		}
	}
}

// recordClient returns what a client sends in a handshake.
func recordClient(t *testing.T, m pair) []byte {
	t.Helper()
	nc, other := connection(t)
	r := &recorder{Conn: other}
	_, _, xErr, yErr := shakeOn(nc, r, testOptions("ROUTER", m.server), testOptions("DEALER", m.client))
	if xErr != nil || yErr != nil {
		t.Fatal(xErr, yErr)
	}
	return r.sent
}

type recorder struct {
	net.Conn
	sent []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.sent = append(r.sent, b...)
	return r.Conn.Write(b)
}
