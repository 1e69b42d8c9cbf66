package stream

import (
	"context"
	"testing"
	"testing/synctest"

	"example.com/feed/internal/transport"
	"example.com/feed/internal/transport/transporttest"
)

// connectionKeys passes on the keys of what comes.
type connectionKeys struct {
	t    *testing.T
	keys chan string
}

func (k connectionKeys) Submit(_ context.Context, messages []transport.Message) (int, error) {
	for _, m := range messages {
		keyed := m.(transport.Keyed)
		if _, ok := keyed.Key("something else"); ok {
			k.t.Error("there is a key that the configuration does not name")
		}
		for _, name := range testConfig().Keys() {
			key, ok := keyed.Key(name)
			if !ok {
				k.t.Errorf("there is no key %q", name)
			}
			k.keys <- key
		}
		transporttest.Answer(m)
	}
	return len(messages), nil
}

// The messages of a connection have the same key, and no others have it, also in
// another transport.
func TestKeyOfConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := connectionKeys{t, make(chan string, 10)}
		seen := make(map[string]bool)
		for range 2 {
			p := newPipes()
			serveOn(t, testConfig(), k, p.listen)
			for range 3 {
				nc := p.dial()
				write(t, nc, "one\ntwo\n")
				read(t, nc, 8)
				write(t, nc, "three\n")
				read(t, nc, 6)
				key := <-k.keys
				if seen[key] {
					t.Errorf("two connections have the key %q", key)
				}
				seen[key] = true
				for range 2 {
					if got := <-k.keys; got != key {
						t.Errorf("the keys of a connection are %q and %q", key, got)
					}
				}
			}
		}
	})
}
