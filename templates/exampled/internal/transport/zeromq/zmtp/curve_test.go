package zmtp

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"

	"golang.org/x/crypto/nacl/box"
)

// meddler changes what passes through it.
type meddler struct {
	net.Conn
	change func(b []byte) []byte
}

func (m *meddler) Write(b []byte) (int, error) {
	if _, err := m.Conn.Write(m.change(bytes.Clone(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Whatever byte of a handshake is changed on the way, the two do not agree; what
// goes wrong is said to be that, and is no panic.
func TestCurveChanged(t *testing.T) {
	m := agreeing()["curve"]
	length := len(recordClient(t, m))
	var group sync.WaitGroup
	slots := make(chan struct{}, 64)
	for at := greetingSize; at < length; at++ {
		// The padding of HELLO, 72 bytes, is not looked at.
		if start := greetingSize + 2 + 6 + curveVersion; at >= start && at < start+72 {
			continue
		}
		slots <- struct{}{}
		nc, other := connection(t)
		group.Go(func() {
			defer func() { <-slots }()
			changing := &meddler{Conn: other, change: changeAt(at)}
			// Behind a size that is too large both wait for the other one.
			a := testOptions("ROUTER", m.server)
			a.HandshakeTimeout = patience / 60
			if _, _, err, _ := shakeOn(nc, changing, a, testOptions("DEALER", m.client)); err == nil {
				t.Errorf("agreed although byte %d was changed", at)
			}
			_ = nc.Close()
			_ = other.Close()
		})
	}
	group.Wait()
}

// changeAt changes one byte of all that is written.
func changeAt(at int) func(b []byte) []byte {
	passed := 0
	return func(b []byte) []byte {
		if i := at - passed; i >= 0 && i < len(b) {
			b[i] ^= 0x10
		}
		passed += len(b)
		return b
	}
}

// impostor is a client that says that it has the key of another, or shows a vouch
// that was for another server.
type impostor struct {
	CurveClient
	claims, vouchFor Key
}

func (i impostor) handshake(h *handshake) ([]byte, error) {
	ours := NewKey()
	peer, cookie, err := i.hello(h, ours)
	if err != nil {
		return nil, err
	}
	transient, vouchNonce := ours.Public(), newNonce()
	vouch := box.SealAfterPrecomputation(vouchNonce, append(transient[:], i.vouchFor[:]...), random("VOUCH---", vouchNonce), shared(peer, i.Secret))
	plain := append(append(i.claims[:], vouch...), h.properties...)
	sealed := box.SealAfterPrecomputation(nil, plain, counted("CurveZMQINITIATE", 2), shared(peer, ours))
	if err := h.send("INITIATE", cookie, counterBytes(2), sealed); err != nil {
		return nil, err
	}
	return h.expect("READY")
}

// Who a client is, it has to prove, to this very server.
func TestCurveImpostor(t *testing.T) {
	server, victim, other := NewKey(), NewKey(), NewKey()
	accept := func(k Key) bool { return k == victim.Public() }
	for name, test := range map[string]struct {
		secret, claims, vouchFor Key
		good                     bool
	}{
		"itself":          {victim, victim.Public(), server.Public(), true},
		"another's key":   {other, victim.Public(), server.Public(), false},
		"another's vouch": {victim, victim.Public(), other.Public(), false},
	} {
		client := impostor{CurveClient{test.secret, server.Public()}, test.claims, test.vouchFor}
		_, _, err, _ := shake(t, testOptions("ROUTER", CurveServer{server, accept}), testOptions("DEALER", client))
		if test.good && err != nil || !test.good && !errors.Is(err, ErrAuthentication) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// curvePair returns two sides that have agreed; what the first sends passes through
// change.
func curvePair(t *testing.T, change func(b []byte) []byte) (x, y *Conn) {
	t.Helper()
	m := agreeing()["curve"]
	nc, other := connection(t)
	changing := &meddler{Conn: nc, change: func(b []byte) []byte { return b }}
	x, y, xErr, yErr := shakeOn(changing, other, testOptions("ROUTER", m.server), testOptions("DEALER", m.client))
	if xErr != nil || yErr != nil {
		t.Fatal(xErr, yErr)
	}
	changing.change = change
	return x, y
}

// A message that was changed, comes twice or is not encrypted ends the connection.
func TestCurveMessages(t *testing.T) {
	for name, test := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"changed":       {func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, ErrAuthentication},
		"other nonce":   {func(b []byte) []byte { b[2+len(messageName)] ^= 1; return b }, ErrAuthentication},
		"twice":         {func(b []byte) []byte { return append(b, b...) }, ErrAuthentication},
		"not encrypted": {func([]byte) []byte { return appendFrame(nil, 0, bytes.Repeat([]byte("x"), 100)) }, ErrProtocol},
		"short":         {func([]byte) []byte { return appendFrame(nil, 0, []byte(messageName+"12345678")) }, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			x, y := curvePair(t, test.change)
			x.Send(nil, []byte("one"))
			var err error
			for taken := 0; err == nil; {
				var ok bool
				if _, ok, err = y.Next(); ok {
					taken++
				} else if err == nil {
					err = y.Fill()
				}
				if taken > 1 {
					t.Fatal("taken twice")
				}
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// The limits hold for what is in the boxes.
func TestCurveLimits(t *testing.T) {
	m := agreeing()["curve"]
	for size, good := range map[int]bool{5000: true, 5001: false, 20000: false} {
		a, b := testOptions("ROUTER", m.server), testOptions("DEALER", m.client)
		a.MaxMessage = 5000
		x, y, xErr, yErr := shake(t, a, b)
		if xErr != nil || yErr != nil {
			t.Fatal(xErr, yErr)
		}
		y.Send([][]byte{make([]byte, size-1)}, []byte("x"))
		var err error
		ok := false
		for err == nil && !ok {
			if _, ok, err = x.Next(); err == nil && !ok {
				err = x.Fill()
			}
		}
		if ok != good || !good && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: %t, %v", size, ok, err)
		}
	}
}
