package zmtp

import (
	"fmt"
	"slices"
	"testing"
)

// Topics are asked for by commands, and of a peer of ZMTP 3.0 by messages.
func TestSubscription(t *testing.T) {
	for name, m := range agreeing() {
		for _, minor := range []byte{0, 1} {
			var got []string
			a, b := testOptions("SUB", m.client), testOptions("PUB", m.server)
			b.OnSubscription = func(topic []byte, subscribe bool) {
				got = append(got, fmt.Sprintf("%s %t", topic, subscribe))
			}
			x, y, xErr, yErr := shake(t, a, b)
			if xErr != nil || yErr != nil {
				t.Fatal(xErr, yErr)
			}
			x.minor = minor
			x.Subscribe([]byte("one"))
			x.Subscribe(nil)
			x.Cancel([]byte("one"))
			x.Send(nil, []byte("end")) // a PUB hears nothing else, so this is for the test
			receive(t, y)
			if want := []string{"one true", " true", "one false"}; !slices.Equal(got, want) {
				t.Errorf("%s, ZMTP 3.%d: %q, want %q", name, minor, got, want)
			}
		}
	}
}
