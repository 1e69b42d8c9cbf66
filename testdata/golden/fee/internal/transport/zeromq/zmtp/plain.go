// PLAIN: a name and a password in clear text, https://rfc.zeromq.org/spec/24/.

package zmtp

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// maxPlain is the length of the longest name or password.
const maxPlain = 255

// PlainServer asks the peer for a name and password, which have to be these.
type PlainServer struct{ Username, Password string }

func (PlainServer) name() string   { return "PLAIN" }
func (PlainServer) asServer() bool { return true }

func (s PlainServer) handshake(h *handshake) ([]byte, error) {
	hello, err := h.expect("HELLO")
	if err != nil {
		return nil, err
	}
	username, rest, ok := cutShort(hello)
	password, rest, also := cutShort(rest)
	if !ok || !also || len(rest) > 0 {
		return nil, fmt.Errorf("%w: a HELLO without a name and password", ErrProtocol)
	}
	if !s.accepts(username, password) {
		return nil, h.refuse("wrong username or password")
	}
	if err := h.send("WELCOME"); err != nil {
		return nil, err
	}
	properties, err := h.expect("INITIATE")
	if err != nil {
		return nil, err
	}
	return properties, h.send("READY", h.properties)
}

// accepts compares in a time that depends on neither what is right nor how much
// of it. Sums are compared because their lengths are equal.
func (s PlainServer) accepts(username, password []byte) bool {
	return equal(username, s.Username)&equal(password, s.Password) == 1
}

func equal(got []byte, want string) int {
	a, b := sha256.Sum256(got), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:])
}

// PlainClient gives the peer a name and password, of up to 255 bytes each.
type PlainClient struct{ Username, Password string }

func (PlainClient) name() string   { return "PLAIN" }
func (PlainClient) asServer() bool { return false }

func (c PlainClient) handshake(h *handshake) ([]byte, error) {
	if len(c.Username) > maxPlain || len(c.Password) > maxPlain {
		return nil, fmt.Errorf("%w: a username or password of more than %d bytes", ErrAuthentication, maxPlain)
	}
	err := h.send("HELLO", []byte{byte(len(c.Username))}, []byte(c.Username), []byte{byte(len(c.Password))}, []byte(c.Password))
	if err != nil {
		return nil, err
	}
	if _, err := h.expect("WELCOME"); err != nil {
		return nil, err
	}
	if err := h.send("INITIATE", h.properties); err != nil {
		return nil, err
	}
	return h.expect("READY")
}
