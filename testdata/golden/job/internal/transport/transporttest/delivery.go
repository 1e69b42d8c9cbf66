// Delivery: each message comes once and whole, each reply after its message was
// settled and, where the transport says so, in order.

package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/job/internal/transport"
)

// body makes a message that tells where it belongs, of a length that varies.
func body(peer, number int) []byte {
	return fmt.Appendf(nil, "%d-%d-%s", peer, number, strings.Repeat("x", number*number%1999))
}

// exchange sends messages by numbers, from first to before end, and checks
// their replies, which are the bodies. A transport that orders its replies gets
// them several at a time.
func exchange(p Peer, h Harness, peer, first, end int) error {
	burst := 1
	if h.Ordered {
		burst = 16
	}
	for first < end {
		var bodies [][]byte
		for ; first < end && len(bodies) < burst; first++ {
			bodies = append(bodies, body(peer, first))
		}
		if err := p.Send(bodies...); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		for i := 0; i < len(bodies) && h.Replies; i++ {
			reply, err := p.Receive()
			if err != nil {
				return fmt.Errorf("receive: %w", err)
			}
			if !bytes.Equal(reply, bodies[i]) {
				return fmt.Errorf("reply %.20q… to %.20q…", reply, bodies[i])
			}
		}
	}
	return nil
}

func everyMessageOnce(t *testing.T, h Harness) {
	const peers, messages = 8, 200
	var mu sync.Mutex
	seen := make(map[string]int)
	p := newPool(4, func(m transport.Message) {
		mu.Lock()
		seen[string(m.Body())]++
		mu.Unlock()
		Answer(m)
	})
	s := start(t, h, p)
	var group sync.WaitGroup
	for i := range peers {
		peer := s.dial()
		group.Go(func() {
			if err := exchange(peer, h, i, 0, messages); err != nil {
				t.Errorf("peer %d: %v", i, err)
			}
		})
	}
	group.Wait()
	Poll(t, "all messages", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return t.Failed() || len(seen) == peers*messages
	})
	s.Stop()
	p.close()
	for i := range peers {
		for j := range messages {
			if n := seen[string(body(i, j))]; n != 1 {
				t.Errorf("message %d of peer %d came %d times", j, i, n)
			}
		}
	}
}

func bodiesLast(t *testing.T, h Harness) {
	needs(t, h.Ordered, "messages side by side")
	const messages = 100
	q := make(Queue)
	s := start(t, h, q)
	peer := s.dial()
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range messages {
			if err := peer.Send(body(0, i)); err != nil {
				t.Error(err)
			}
		}
	})
	var taken []transport.Message
	for range messages {
		taken = append(taken, q.Take(t))
	}
	sent.Wait()
	for i, m := range taken {
		if !bytes.Equal(m.Body(), body(0, i)) {
			t.Errorf("message %d is %.20q…", i, m.Body())
		}
		Answer(m)
	}
	s.Stop()
}

func replyAfterSettling(t *testing.T, h Harness) {
	needs(t, h.Replies, "replies")
	q := make(Queue)
	s := start(t, h, q)
	var settled atomic.Bool
	peer, other := s.dial(), s.dial()
	if err := peer.Send(body(0, 0)); err != nil {
		t.Fatal(err)
	}
	m := q.Take(t)
	early := make(chan bool)
	go func() {
		_, err := peer.Receive()
		early <- err != nil || !settled.Load()
	}()

	// A reply that is sent too early has arrived by the time of this one.
	if err := other.Send(body(1, 0)); err != nil {
		t.Fatal(err)
	}
	Answer(q.Take(t))
	if _, err := other.Receive(); err != nil {
		t.Fatal(err)
	}
	settled.Store(true)
	Answer(m)
	if <-early {
		t.Error("the reply came before the message was settled, or not at all")
	}
}

func repliesInOrder(t *testing.T, h Harness) {
	needs(t, h.Ordered, "order")
	const messages = 50
	q := make(Queue)
	s := start(t, h, q)
	peer := s.dial()
	for name, order := range map[string]func() []int{
		"backwards": func() []int {
			var order []int
			for i := range messages - 1 {
				order = append(order, messages-2-i)
			}
			return order
		},
		"shuffled": func() []int { return rand.Perm(messages - 1) },
	} {
		for i := range messages {
			if err := peer.Send(body(0, i)); err != nil {
				t.Fatal(err)
			}
		}
		var taken []transport.Message
		for range messages {
			taken = append(taken, q.Take(t))
		}
		settle := func(i int) { taken[i].Settle(fmt.Appendf(nil, "done-%s", taken[i].Body()), nil) }
		receive := func(i int) {
			reply, err := peer.Receive()
			if want := fmt.Appendf(nil, "done-%s", body(0, i)); err != nil || !bytes.Equal(reply, want) {
				t.Fatalf("settled %s: reply %d is %.20q…, %v", name, i, reply, err)
			}
		}
		// The first is not waited for by those behind it, nor are they sent with it.
		settle(0)
		receive(0)
		for _, i := range order() {
			settle(1 + i)
		}
		for i := range messages - 1 {
			receive(1 + i)
		}
	}
}

// A reply that the peer can't take at once arrives whole all the same.
func largeReplies(t *testing.T, h Harness) {
	needs(t, h.Replies && !h.Short, "large replies")
	const size, replies = 8 << 20, 3 // more than the system buffers
	q := make(Queue)
	s := start(t, h, q)
	peer := s.dial()
	for i := range replies {
		reply := make([]byte, size)
		for j := range reply {
			reply[j] = 'a' + byte((i+j/1000)%26)
		}
		if err := peer.Send(body(0, i)); err != nil {
			t.Fatal(err)
		}
		q.Take(t).Settle(bytes.Clone(reply), nil)
		if got, err := peer.Receive(); err != nil || !bytes.Equal(got, reply) {
			t.Fatalf("reply of %d bytes, %v, want %d", len(got), err, size)
		}
	}
	s.Stop()
}

func failedMessage(t *testing.T, h Harness) {
	q := make(Queue)
	s := start(t, h, q)
	peer := s.dial()
	for _, err := range []error{errors.New("failed for good"), nil} {
		reply := fmt.Sprintf("failed-%t", err != nil)
		if err := peer.Send(body(0, 0)); err != nil {
			t.Fatal(err)
		}
		q.Take(t).Settle([]byte(reply), err)
		if !h.Replies {
			continue
		}
		if got, err := peer.Receive(); string(got) != reply || err != nil {
			t.Errorf("reply %q, %v, want %q", got, err, reply)
		}
	}
}

func peersApart(t *testing.T, h Harness) {
	q := make(Queue)
	s := start(t, h, q)
	slow, quick := s.dial(), s.dial()
	if err := slow.Send(body(0, 0)); err != nil {
		t.Fatal(err)
	}
	held := q.Take(t)
	for i := range 10 {
		var sent sync.WaitGroup
		sent.Go(func() {
			if err := exchange(quick, h, 1, i, i+1); err != nil {
				t.Error(err)
			}
		})
		Answer(q.Take(t))
		sent.Wait()
	}
	Answer(held)
	if h.Replies {
		if reply, err := slow.Receive(); err != nil || !bytes.Equal(reply, body(0, 0)) {
			t.Errorf("reply %q, %v", reply, err)
		}
	}
}
