package zmtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestGreeting(t *testing.T) {
	for _, g := range []greeting{
		{minor: 1, mechanism: "NULL"},
		{minor: 0, mechanism: "CURVE", asServer: true},
		{minor: 1, mechanism: strings.Repeat("M", 20)},
		{},
	} {
		got, err := parseGreeting(g.bytes())
		if err != nil || got != g {
			t.Errorf("%+v became %+v, %v", g, got, err)
		}
	}
	later := greeting{minor: 7, mechanism: "NULL"}.bytes()
	later[10] = 4
	if got, err := parseGreeting(later); err != nil || got.minor != 1 {
		t.Errorf("version 4.7: %+v, %v", got, err)
	}
}

func TestBadGreeting(t *testing.T) {
	good := greeting{minor: 1, mechanism: "NULL"}.bytes()
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"ZMTP 1.0", append([]byte{0x05, 0}, "hellohellohello"...), ErrVersion},
		{"ZMTP 1.0, anonymous", append([]byte{0x01, 0}, make([]byte, 62)...), ErrVersion},
		{"ZMTP 2.0", change(10, 1), ErrVersion},
		{"ZMTP 1.0 with a signature", change(10, 0), ErrVersion},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), ErrProtocol},
		{"TLS", append([]byte{0x16, 0x03, 0x01, 0x02, 0x00}, make([]byte, 59)...), ErrProtocol},
		{"signature", change(9, 0x7e), ErrProtocol},
		{"bytes after the mechanism", change(31, 'x'), ErrProtocol},
	} {
		// Each is refused by its first bytes, or by all 64 of them.
		err := checkSignature(test.bytes)
		if err == nil && len(test.bytes) == greetingSize {
			_, err = parseGreeting(test.bytes)
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	for n := range good {
		if err := checkSignature(good[:n]); err != nil {
			t.Errorf("%d bytes of a good one: %v", n, err)
		}
	}
}

func FuzzGreeting(f *testing.F) {
	f.Add(greeting{minor: 1, mechanism: "NULL"}.bytes())
	f.Add(greeting{mechanism: "CURVE", asServer: true}.bytes())
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := range b {
			if checkSignature(b[:n]) != nil && checkSignature(b) == nil {
				t.Errorf("% x is refused, but goes on well", b[:n])
			}
		}
		if len(b) < greetingSize {
			return
		}
		if g, err := parseGreeting(b[:greetingSize]); err == nil {
			if again, err := parseGreeting(g.bytes()); err != nil || again != g {
				t.Errorf("%+v became %+v, %v", g, again, err)
			}
		}
	})
}
