package feed

import "testing"

// Without a database every message is answered TRUE. That messages are stored
// before they are answered is tested with the whole service, in cmd.
func TestHandle(t *testing.T) {
	handler := New(nil)
	for _, request := range []string{"hello", "", "0", "\x00\xff"} {
		reply, err := handler.Handle(t.Context(), []byte(request))
		if string(reply) != "TRUE" || err != nil {
			t.Errorf("Handle(%q) = %q, %v, want TRUE", request, reply, err)
		}
	}
}

func TestHandleBatch(t *testing.T) {
	requests := [][]byte{[]byte("one"), []byte("two"), {}}
	results := New(nil).HandleBatch(t.Context(), requests)
	if len(results) != len(requests) {
		t.Fatalf("%d results for %d messages", len(results), len(requests))
	}
	for i, result := range results {
		if string(result.Reply) != "TRUE" || result.Err != nil {
			t.Errorf("result %d is %q, %v, want TRUE", i, result.Reply, result.Err)
		}
	}
}
