package worker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/job/internal/transport"
)

// The handler gets the keys of its messages, in their order, by a type that needs
// no import; without keys there is nothing in the context.
func TestMessageKeys(t *testing.T) {
	keysOf := func(ctx context.Context) string {
		keys, found := ctx.Value(struct{ MessageKeys struct{} }{}).([]string)
		return fmt.Sprintf("%q %v", keys, found)
	}
	plain := func(body string) transport.Message { return messages(body)[0] }
	with := func(id string) transport.Message { return identified{message: messages("x")[0], id: id} }
	tests := []struct {
		name     string
		messages []transport.Message
		want     string
	}{
		{"one", []transport.Message{with("7")}, `["7"] true`},
		{"one without", []transport.Message{with("")}, `[] false`},
		{"one of another transport", []transport.Message{plain("x")}, `[] false`},
		{"a batch", []transport.Message{with("7"), with(""), with("9")}, `["7" "" "9"] true`},
		{"a batch, the last", []transport.Message{with(""), with("9")}, `["" "9"] true`},
		{"a batch without", []transport.Message{with(""), with("")}, `[] false`},
		{"a batch of another transport", []transport.Message{plain("x"), plain("y")}, `[] false`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				p := start(t, both{func(ctx context.Context, request []byte) ([]byte, error) {
					r.note(keysOf(ctx))
					return ok(ctx, request)
				}, func(ctx context.Context, requests [][]byte) []Result {
					r.note(keysOf(ctx))
					return allOK(ctx, requests)
				}}, func(s *Settings) { s.Count = 1 })
				defer p.Close()
				// The worker has had another key before.
				if _, err := p.Submit(t.Context(), []transport.Message{with("stale")}); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				r.notes = nil
				if _, err := p.Submit(t.Context(), tt.messages); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if r.String() != tt.want {
					t.Errorf("got %s, want %s", &r, tt.want)
				}
			})
		})
	}
}

// Batches of several transports have the keys of those that have some.
func TestMessageKeysOfSeveralTransports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		var got []string
		p := start(t, both{gate(let), func(ctx context.Context, requests [][]byte) []Result {
			got, _ = ctx.Value(MessageKeys{}).([]string)
			return allOK(ctx, requests)
		}}, func(s *Settings) { s.Count = 1 })
		defer p.Close()
		submit(t, p, messages("first")...)
		synctest.Wait()
		plain, keyed := p.For("plain"), p.For("keyed")
		for i := range 2 {
			if _, err := plain.Submit(t.Context(), asMessages(messages("x"))); err != nil {
				t.Error(err)
			}
			m := identified{message: messages("y")[0], id: fmt.Sprint(i)}
			if _, err := keyed.Submit(t.Context(), []transport.Message{m}); err != nil {
				t.Error(err)
			}
		}
		let <- struct{}{}
		synctest.Wait()
		if want := `["" "keyed:0" "" "keyed:1"]`; fmt.Sprintf("%q", got) != want {
			t.Errorf("%q, want %s", got, want)
		}
	})
}

// A key is told from those of other transports, and is text that any database
// takes in a unique column.
func TestKey(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct{ transport, id, want string }{
		{"", "7", "7"},
		{"amqp", "7", "amqp:7"},
		{"amqp", "ü 7", "amqp:ü 7"},
		{"amqp", long[:250], "amqp:" + long[:250]},
		{"amqp", long[:251], "amqp:sha256:90d738c31c5ee1241cbcd2ff3d4aa125"},
		{"amqp", "\x00", "amqp:sha256:6e340b9cffb37a989ca544e6bb780a2c"},
		{"amqp", "\xff", "amqp:sha256:a8100ae6aa1940d0b663bb31cd466142"},
	} {
		got := key(tt.transport, tt.id)
		if hashed := strings.Contains(tt.want, "sha256:"); got != tt.want && (!hashed || len(got) != len("amqp:sha256:")+64 || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("the key of %.20q is %q, want %q", tt.id, got, tt.want)
		}
	}
}
