// Keys, and Z85, the text in which they are written.

package zmtp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/curve25519"
)

// keyText is the length of a key in Z85.
const keyText = KeySize / 4 * 5

// KeySize is the number of bytes of a Key.
const KeySize = 32

// Key is a key of CURVE, public or secret, for Curve25519.
type Key [KeySize]byte

// ParseKey reads a key in Z85, 40 characters. The error quotes nothing of it,
// as the key may be secret.
func ParseKey(text string) (Key, error) {
	var k Key
	if len(text) != keyText {
		return k, fmt.Errorf("must be a key of %d characters in Z85, has %d", keyText, len(text))
	}
	decoded, err := decodeZ85(text)
	if err != nil {
		return k, err
	}
	copy(k[:], decoded)
	return k, nil
}

// NewKey makes a secret key.
func NewKey() Key {
	var k Key
	if _, err := io.ReadFull(rand.Reader, k[:]); err != nil {
		panic(err) // crypto/rand ends the process instead
	}
	return k
}

// Public returns the public key of a secret key.
func (k Key) Public() Key {
	public, err := curve25519.X25519(k[:], curve25519.Basepoint)
	if err != nil {
		panic(err) // the base point is good
	}
	return Key(public)
}

// Text returns the key in Z85, also if it is secret.
func (k Key) Text() string { return encodeZ85(k[:]) }

// digits of Z85, https://rfc.zeromq.org/spec/32/.
const digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

// encodeZ85 writes bytes, whose number is a multiple of 4, in Z85.
func encodeZ85(b []byte) string {
	var text strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		value := uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
		for power := uint64(85 * 85 * 85 * 85); power > 0; power /= 85 {
			text.WriteByte(digits[value/power%85])
		}
	}
	return text.String()
}

// decodeZ85 is the reverse of encodeZ85.
func decodeZ85(text string) ([]byte, error) {
	if len(text)%5 != 0 {
		return nil, fmt.Errorf("must be Z85, a multiple of 5 characters, has %d", len(text))
	}
	var b []byte
	for ; text != ""; text = text[5:] {
		var value uint64
		for i := range 5 {
			digit := strings.IndexByte(digits, text[i])
			if digit < 0 {
				return nil, errors.New("must be Z85, has a character that is no digit of it")
			}
			value = value*85 + uint64(digit)
		}
		if value > 0xffffffff {
			return nil, errors.New("must be Z85, has five digits that make no four bytes")
		}
		b = append(b, byte(value>>24), byte(value>>16), byte(value>>8), byte(value))
	}
	return b, nil
}
