package zmtp

import (
	"bytes"
	"strings"
	"testing"
)

// The examples of RFC 32 and of RFC 26.
func TestZ85(t *testing.T) {
	for text, want := range map[string][]byte{
		"HelloWorld": {0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B},
		"JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6": {
			0x8E, 0x0B, 0xDD, 0x69, 0x76, 0x28, 0xB9, 0x1D, 0x8F, 0x24, 0x55, 0x87, 0xEE, 0x95, 0xC5, 0xB0,
			0x4D, 0x48, 0x96, 0x3F, 0x79, 0x25, 0x98, 0x77, 0xB4, 0x9C, 0xD9, 0x06, 0x3A, 0xEA, 0xD3, 0xB7,
		},
		"": nil,
	} {
		got, err := decodeZ85(text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: % x, %v", text, got, err)
		}
		if again := encodeZ85(want); again != text {
			t.Errorf("% x: %q", want, again)
		}
	}
}

func TestParseKey(t *testing.T) {
	k := NewKey()
	if got, err := ParseKey(k.Text()); err != nil || got != k {
		t.Errorf("%v, %v", got, err)
	}
	secret := strings.Repeat("s", 39)
	for _, text := range []string{"", secret, secret + "ss", secret + "~", secret + "\xff", strings.Repeat("#", 40)} {
		_, err := ParseKey(text)
		if err == nil {
			t.Errorf("%q is a key", text)
		} else if strings.Contains(err.Error(), "sss") || strings.Contains(err.Error(), "##") {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
}

// The key pair of RFC 26 fits together.
func TestPublicKey(t *testing.T) {
	secret, err := ParseKey("JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6")
	if err != nil {
		t.Fatal(err)
	}
	if got := secret.Public().Text(); got != "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7" {
		t.Errorf("the public key %s", got)
	}
}

func FuzzZ85(f *testing.F) {
	f.Add("HelloWorld")
	f.Add("%%%%%")
	f.Add("\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := decodeZ85(text)
		if err == nil && encodeZ85(b) != text {
			t.Errorf("%q is % x is %q", text, b, encodeZ85(b))
		}
	})
}
