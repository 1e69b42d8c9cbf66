// CURVE: both sides prove who they are and encrypt what follows,
// https://rfc.zeromq.org/spec/26/. The names of keys are those of the
// specification: C and S are the public keys of client and server, c and s the
// secret ones, and with an accent they are those of this connection only.

package zmtp

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"
)

// Where the fields of the commands begin and end, after their names.
const (
	curveVersion = 2 // of a HELLO
	helloPadding = curveVersion + 72
	helloKey     = helloPadding + KeySize
	helloNonce   = helloKey + shortNonce
	helloSize    = helloNonce + 64 + box.Overhead

	shortNonce = 8  // counts
	longNonce  = 16 // is random

	cookieSize  = longNonce + 2*KeySize + secretbox.Overhead
	welcomeSize = longNonce + KeySize + cookieSize + box.Overhead
	vouchSize   = longNonce + 2*KeySize + box.Overhead

	initiateNonce = cookieSize + shortNonce
	initiateMin   = initiateNonce + KeySize + vouchSize + box.Overhead
	readyMin      = shortNonce + box.Overhead
)

// counted and random make the nonce of a box, which is 24 bytes, of a prefix and
// what is sent of it.
func counted(prefix string, counter uint64) *[24]byte {
	var nonce [24]byte
	copy(nonce[:], prefix)
	binary.BigEndian.PutUint64(nonce[16:], counter)
	return &nonce
}

func random(prefix string, sent []byte) *[24]byte {
	var nonce [24]byte
	copy(nonce[:], prefix)
	copy(nonce[8:], sent)
	return &nonce
}

// newNonce makes what is sent of a random nonce.
func newNonce() []byte {
	nonce := make([]byte, longNonce)
	if _, err := io.ReadFull(rand.Reader, nonce); err != nil {
		panic(err) // crypto/rand ends the process instead
	}
	return nonce
}

func counter(sent []byte) uint64 { return binary.BigEndian.Uint64(sent) }

func counterBytes(counter uint64) []byte { return binary.BigEndian.AppendUint64(nil, counter) }

// shared computes the key for boxes between two key pairs.
func shared(public, secret Key) *[KeySize]byte {
	var key, p, s [KeySize]byte = [KeySize]byte{}, public, secret
	box.Precompute(&key, &p, &s)
	return &key
}

// CurveServer is the side of CURVE that clients know by its public key.
type CurveServer struct {
	Secret Key // s

	// Accept tells whether a client with this public key may connect.
	Accept func(client Key) bool
}

func (CurveServer) name() string   { return "CURVE" }
func (CurveServer) asServer() bool { return true }

func (s CurveServer) handshake(h *handshake) ([]byte, error) {
	peer, err := s.hello(h) // C'
	if err != nil {
		return nil, err
	}
	ours, cookieKey := NewKey(), [KeySize]byte(NewKey()) // s'
	if err := s.welcome(h, peer, ours, &cookieKey); err != nil {
		return nil, err
	}
	properties, client, err := s.initiate(h, peer, ours, &cookieKey)
	if err != nil {
		return nil, err
	}
	if !s.Accept(client) {
		return nil, h.refuse(fmt.Sprintf("the client with the public key %s is not known", client.Text()))
	}
	sealed := box.SealAfterPrecomputation(nil, h.properties, counted("CurveZMQREADY---", h.cipher.sent), &h.cipher.key)
	nonce := counterBytes(h.cipher.sent)
	h.cipher.sent++
	return properties, h.send("READY", nonce, sealed)
}

// hello takes the key C'.
func (s CurveServer) hello(h *handshake) (peer Key, err error) {
	b, err := h.expect("HELLO")
	switch {
	case err != nil:
		return peer, err
	case len(b) != helloSize:
		return peer, fmt.Errorf("%w: a HELLO of %d bytes, in CURVE it has %d", ErrProtocol, len(b), helloSize)
	case b[0] != 1 || b[1] != 0:
		return peer, fmt.Errorf("%w: version %d.%d of CURVE", ErrProtocol, b[0], b[1])
	}
	copy(peer[:], b[helloPadding:helloKey])
	nonce := counter(b[helloKey:helloNonce])
	zeros, ok := box.OpenAfterPrecomputation(nil, b[helloNonce:], counted("CurveZMQHELLO---", nonce), shared(peer, s.Secret))
	if !ok || len(bytes.Trim(zeros, "\x00")) > 0 {
		return peer, h.refuse("a HELLO for another server key")
	}
	h.cipher = &cipher{received: nonce, sent: 1}
	return peer, nil
}

// welcome sends S', and the cookie, in which the client brings back that it was
// sent by this very connection.
func (s CurveServer) welcome(h *handshake, peer, ours Key, cookieKey *[KeySize]byte) error {
	public := ours.Public()
	cookieNonce := newNonce()
	cookie := secretbox.Seal(cookieNonce, append(peer[:len(peer):len(peer)], ours[:]...), random("COOKIE--", cookieNonce), cookieKey)
	nonce := newNonce()
	sealed := box.SealAfterPrecomputation(nil, append(public[:len(public):len(public)], cookie...), random("WELCOME-", nonce), shared(peer, s.Secret))
	return h.send("WELCOME", nonce, sealed)
}

// initiate takes the properties and the key C, for which the client vouches.
func (s CurveServer) initiate(h *handshake, peer, ours Key, cookieKey *[KeySize]byte) (properties []byte, client Key, err error) {
	b, err := h.expect("INITIATE")
	if err != nil {
		return nil, client, err
	}
	if len(b) < initiateMin {
		return nil, client, fmt.Errorf("%w: an INITIATE of %d bytes, in CURVE it has %d", ErrProtocol, len(b), initiateMin)
	}
	cookie, ok := secretbox.Open(nil, b[longNonce:cookieSize], random("COOKIE--", b[:longNonce]), cookieKey)
	if !ok || !bytes.Equal(cookie, append(peer[:len(peer):len(peer)], ours[:]...)) {
		return nil, client, h.refuse("an INITIATE with a cookie of somebody else")
	}
	h.cipher.key = *shared(peer, ours)
	h.cipher.sendPrefix, h.cipher.receivePrefix = "CurveZMQMESSAGES", "CurveZMQMESSAGEC"
	nonce := counter(b[cookieSize:initiateNonce])
	if !h.cipher.next(nonce) {
		return nil, client, fmt.Errorf("%w: an INITIATE with an old nonce", ErrProtocol)
	}
	plain, ok := box.OpenAfterPrecomputation(nil, b[initiateNonce:], counted("CurveZMQINITIATE", nonce), &h.cipher.key)
	if !ok {
		return nil, client, h.refuse("an INITIATE that can't be opened")
	}
	copy(client[:], plain)
	vouch := plain[KeySize : KeySize+vouchSize]
	public := s.Secret.Public()
	said, ok := box.OpenAfterPrecomputation(nil, vouch[longNonce:], random("VOUCH---", vouch[:longNonce]), shared(client, ours))
	if !ok || !bytes.Equal(said, append(peer[:len(peer):len(peer)], public[:]...)) {
		return nil, client, h.refuse("a client that does not have the key that it says")
	}
	return plain[KeySize+vouchSize:], client, nil
}

// CurveClient is the side of CURVE that knows the server's public key.
type CurveClient struct {
	Secret Key // c
	Server Key // S
}

func (CurveClient) name() string   { return "CURVE" }
func (CurveClient) asServer() bool { return false }

func (c CurveClient) handshake(h *handshake) ([]byte, error) {
	ours := NewKey() // c'
	peer, cookie, err := c.hello(h, ours)
	if err != nil {
		return nil, err
	}
	h.cipher = &cipher{
		key:        *shared(peer, ours),
		sendPrefix: "CurveZMQMESSAGEC", receivePrefix: "CurveZMQMESSAGES",
		sent: 2, // a HELLO
	}
	if err := c.initiate(h, ours, peer, cookie); err != nil {
		return nil, err
	}
	b, err := h.expect("READY")
	if err != nil {
		return nil, err
	}
	if len(b) < readyMin {
		return nil, fmt.Errorf("%w: a READY of %d bytes, in CURVE it has %d", ErrProtocol, len(b), readyMin)
	}
	nonce := counter(b)
	properties, ok := box.OpenAfterPrecomputation(nil, b[shortNonce:], counted("CurveZMQREADY---", nonce), &h.cipher.key)
	if !ok || !h.cipher.next(nonce) {
		return nil, fmt.Errorf("%w: a READY that can't be opened", ErrAuthentication)
	}
	return properties, nil
}

// hello sends C', and takes S' and the cookie.
func (c CurveClient) hello(h *handshake, ours Key) (peer Key, cookie []byte, err error) {
	public, key := ours.Public(), shared(c.Server, ours)
	sealed := box.SealAfterPrecomputation(nil, make([]byte, 64), counted("CurveZMQHELLO---", 1), key)
	err = h.send("HELLO", []byte{1, 0}, make([]byte, helloPadding-curveVersion), public[:], counterBytes(1), sealed)
	if err != nil {
		return peer, nil, err
	}
	b, err := h.expect("WELCOME")
	if err != nil {
		return peer, nil, err
	}
	if len(b) != welcomeSize {
		return peer, nil, fmt.Errorf("%w: a WELCOME of %d bytes, in CURVE it has %d", ErrProtocol, len(b), welcomeSize)
	}
	plain, ok := box.OpenAfterPrecomputation(nil, b[longNonce:], random("WELCOME-", b[:longNonce]), key)
	if !ok {
		return peer, nil, fmt.Errorf("%w: a WELCOME by another server key", ErrAuthentication)
	}
	return Key(plain[:KeySize]), plain[KeySize:], nil
}

// initiate brings the cookie back, and says who we are.
func (c CurveClient) initiate(h *handshake, ours, peer Key, cookie []byte) error {
	public, transient := c.Secret.Public(), ours.Public()
	vouchNonce := newNonce()
	vouch := box.SealAfterPrecomputation(vouchNonce, append(transient[:], c.Server[:]...), random("VOUCH---", vouchNonce), shared(peer, c.Secret))
	plain := append(append(public[:], vouch...), h.properties...)
	nonce := counterBytes(h.cipher.sent)
	sealed := box.SealAfterPrecomputation(nil, plain, counted("CurveZMQINITIATE", h.cipher.sent), &h.cipher.key)
	h.cipher.sent++
	return h.send("INITIATE", cookie, nonce, sealed)
}
