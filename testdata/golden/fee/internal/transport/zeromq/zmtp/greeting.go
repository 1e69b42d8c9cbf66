// The greeting: 64 bytes that each peer sends first, by which they find out
// whether they can speak to each other.

package zmtp

import (
	"bytes"
	"fmt"
)

// Where the fields of a greeting are.
const (
	signatureSize = 10
	versionEnd    = 12
	mechanismEnd  = 32
	greetingSize  = 64
)

// A greeting is what a peer says of itself first.
type greeting struct {
	minor     byte // of version 3
	mechanism string
	asServer  bool
}

func (g greeting) bytes() []byte {
	b := make([]byte, greetingSize)
	b[0], b[signatureSize-1] = 0xff, 0x7f
	b[signatureSize], b[signatureSize+1] = 3, g.minor
	copy(b[versionEnd:mechanismEnd], g.mechanism)
	if g.asServer {
		b[mechanismEnd] = 1
	}
	return b
}

// checkSignature says whether the beginning of a greeting, of any length, can be
// that of ZMTP 3. What is no greeting need not have the length of one: a peer of
// ZMTP 1.0 sends its identity and waits.
func checkSignature(b []byte) error {
	switch {
	case len(b) > 0 && b[0] != 0xff:
		// In ZMTP 1.0 this is the length of a frame with the identity, and the
		// flags of that frame, which are 0, come next.
		if len(b) == 1 {
			return nil
		}
		if b[0] > 0 && b[1] == 0 {
			return fmt.Errorf("%w, if this is a greeting: %q", ErrVersion, b[:min(len(b), signatureSize)])
		}
		return fmt.Errorf("%w: no greeting of ZMTP: %q", ErrProtocol, b[:min(len(b), signatureSize)])
	case len(b) >= signatureSize && b[signatureSize-1]&1 == 0:
		return fmt.Errorf("%w: no greeting of ZMTP: %q", ErrProtocol, b[:signatureSize])
	case len(b) > signatureSize && b[signatureSize] < 3:
		return ErrVersion
	}
	return nil
}

// parseGreeting reads a greeting of greetingSize bytes.
func parseGreeting(b []byte) (greeting, error) {
	if err := checkSignature(b); err != nil {
		return greeting{}, err
	}
	g := greeting{minor: b[signatureSize+1], asServer: b[mechanismEnd]&1 != 0}
	if b[signatureSize] > 3 {
		g.minor = 1 // a later version speaks this one with us
	}
	name, padding, _ := bytes.Cut(b[versionEnd:mechanismEnd], []byte{0})
	if len(bytes.Trim(padding, "\x00")) > 0 {
		return g, fmt.Errorf("%w: mechanism %q", ErrProtocol, b[versionEnd:mechanismEnd])
	}
	g.mechanism = string(name)
	return g, nil
}
