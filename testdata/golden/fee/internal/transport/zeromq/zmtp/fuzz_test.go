package zmtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
)

// hungry is a script whose peer reads nothing, and goes when it has said all.
func hungry(b []byte) net.Conn { return &script{input: b, piece: 1 + len(b)/3} }

// FuzzHandshake has the server of each mechanism hear any bytes, from the first
// on. Whatever they are, it ends, and with an error of the package or of the
// connection.
func FuzzHandshake(f *testing.F) {
	mechanisms := []Mechanism{
		Null{}, PlainServer{"user", "password"}, CurveServer{Key{1}, func(Key) bool { return true }},
		PlainClient{"user", "password"}, CurveClient{Key{1}, Key{2}.Public()},
	}
	for i, m := range mechanisms {
		hello := greeting{minor: 1, mechanism: m.name(), asServer: !m.asServer()}.bytes()
		f.Add(byte(i), hello)
		for _, c := range [][]byte{
			command("READY", properties{"DEALER", "me"}.bytes()),
			command("HELLO", []byte("\x04user\x08password")),
			command("HELLO", make([]byte, helloSize)),
			command("WELCOME", make([]byte, welcomeSize)),
			command("INITIATE", make([]byte, initiateMin)),
			command("ERROR", []byte("\x03400")),
		} {
			f.Add(byte(i), appendFrame(bytes.Clone(hello), flagCommand, c))
		}
	}
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		m := mechanisms[int(which)%len(mechanisms)]
		c, err := Handshake(hungry(b), testOptions("ROUTER", m))
		if err == nil {
			err = run(c)
		}
		for _, good := range []error{ErrProtocol, ErrVersion, ErrAuthentication, ErrTooLarge, io.EOF} {
			if errors.Is(err, good) {
				return
			}
		}
		t.Errorf("ended with %v", err)
	})
}

// FuzzCommand reads the body of a command and the properties in it.
func FuzzCommand(f *testing.F) {
	f.Add(command("READY", properties{"ROUTER", "me"}.bytes()))
	f.Add(command("ERROR", []byte("\x03400")))
	f.Add([]byte("\x05READY\x0bSocket-Type\xff\xff\xff\xff"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, body, err := parseCommand(b)
		if err != nil {
			return
		}
		if again := command(name, body); !bytes.Equal(again, b) {
			t.Errorf("% x is %q with % x", b, name, body)
		}
		p, err := parseProperties(body)
		if err == nil && len(p.identity) > maxIdentity {
			t.Errorf("an identity of %d bytes", len(p.identity))
		}
		_ = peerError(body)
	})
}

// FuzzCipher opens what somebody sends who does not have the key, or not all of
// the time.
func FuzzCipher(f *testing.F) {
	sealer := cipher{key: Key{1}, sendPrefix: "CurveZMQMESSAGEC", sent: 1}
	f.Add(sealer.seal(nil, flagMore, []byte("body")))
	f.Add(sealer.seal(nil, flagCommand, command("PING", []byte{0, 0})))
	f.Add(appendFrame(nil, 0, []byte(messageName)))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newConn(hungry(b), testOptions("ROUTER", nil))
		c.cipher = &cipher{key: Key{1}, receivePrefix: "CurveZMQMESSAGEC", sent: 1}
		if err := run(c); err == nil {
			t.Error("no end")
		}
		opened := &cipher{key: Key{1}, receivePrefix: "CurveZMQMESSAGEC"}
		if flags, body, err := opened.open(b); err == nil && (flags&flagMore != 0 && flags&flagCommand != 0 || len(body) > len(b)) {
			t.Errorf("flags %#x, %d bytes of %d", flags, len(body), len(b))
		}
	})
}
