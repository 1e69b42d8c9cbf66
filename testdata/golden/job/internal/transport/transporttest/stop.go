// The end: what was taken is answered, what was not is not, and Serve returns
// in between.

package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/job/internal/transport"
)

func givenBack(t *testing.T, h Harness) {
	needs(t, h.Replies && h.Ordered && h.Ends, "replies in order, or end to tell that there is none")
	q := make(Queue, 6)
	s := start(t, h, q)
	peer := s.dial()
	for i := range 6 {
		if err := peer.Send(body(0, i)); err != nil {
			t.Fatal(err)
		}
	}
	var taken []transport.Message
	for range 6 {
		taken = append(taken, q.Take(t))
	}
	for _, i := range []int{5, 4, 1, 0, 2} { // 2 is replied to last
		Answer(taken[i])
	}
	taken[3].Settle(nil, fmt.Errorf("shutting down: %w", transport.ErrStopped))
	for i := range 3 {
		if reply, err := peer.Receive(); err != nil || !bytes.Equal(reply, body(0, i)) {
			t.Errorf("reply %d: %.20q…, %v", i, reply, err)
		}
	}
	if reply, err := peer.Receive(); err == nil || isTimeout(err) {
		t.Errorf("after the message given back: %.20q…, %v, want the end", reply, err)
	}
	s.Stop()
}

// pitfall 56
func drain(t *testing.T, h Harness) {
	const peers, messages = 4, 5
	q := make(Queue, peers*messages)
	s := start(t, h, q)
	each := messages
	if !h.Ordered {
		each = 1
	}
	var dialled []Peer
	var taken []transport.Message
	for i := range peers {
		p := s.dial()
		dialled = append(dialled, p)
		for j := range each {
			if err := p.Send(body(i, j)); err != nil {
				t.Fatal(err)
			}
			taken = append(taken, q.Take(t))
		}
	}
	s.Cancel()
	if h.Listens {
		address := s.newest()
		Poll(t, "the address to be refused", func() bool {
			p, err := h.Dial(address)
			if err == nil {
				_ = p.Close()
			}
			return err != nil
		})
	}
	for i, m := range taken {
		select {
		case <-s.ended:
			t.Fatalf("Serve returned with %d messages under way", len(taken)-i)
		default:
		}
		Answer(m)
	}
	for i, p := range dialled {
		for j := 0; j < each && h.Replies; j++ {
			if reply, err := p.Receive(); err != nil || !bytes.Equal(reply, body(i, j)) {
				t.Errorf("peer %d, reply %d: %.20q…, %v", i, j, reply, err)
			}
		}
		_ = p.Close()
	}
	s.Wait()
}

// A message is waited for although nobody waits for its reply any longer.
func drainVanished(t *testing.T, h Harness) {
	const messages = 3
	q := make(Queue, messages)
	s := start(t, h, q)
	var taken []transport.Message
	peer := s.dial()
	for i := range messages {
		if !h.Ordered && i > 0 {
			peer = s.dial()
		}
		if err := peer.Send(body(0, i)); err != nil {
			t.Fatal(err)
		}
		taken = append(taken, q.Take(t))
		if !h.Ordered || i == messages-1 {
			_ = peer.Close()
		}
	}
	s.Cancel()
	for _, m := range taken {
		// Time to find out that the peer is gone, and to return too early.
		select {
		case <-s.ended:
			t.Fatal("Serve returned with a message under way")
		case <-time.After(10 * time.Millisecond):
		}
		Answer(m)
	}
	s.Wait()
}

func stopUnderLoad(t *testing.T, h Harness) {
	needs(t, h.Replies && h.Ordered && h.Ends, "replies in order, or end to tell that there is none")
	const peers, enough = 6, 3000
	var mu sync.Mutex
	var taken [peers][]string
	total := 0
	full := make(chan struct{})
	p := newPool(3, func(m transport.Message) {
		var peer, number int
		if _, err := fmt.Sscanf(string(m.Body()), "%d-%d-", &peer, &number); err != nil {
			t.Error(err)
		}
		mu.Lock()
		taken[peer] = append(taken[peer], string(m.Body()))
		if total++; total == enough {
			close(full)
		}
		mu.Unlock()
		Answer(m)
	})
	s := start(t, h, p)
	var replies [peers][]string
	var group sync.WaitGroup
	for i := range peers {
		peer := s.dial()
		group.Go(func() {
			for n := 0; ; n += 8 {
				if peer.Send(body(i, n), body(i, n+1), body(i, n+2), body(i, n+3),
					body(i, n+4), body(i, n+5), body(i, n+6), body(i, n+7)) != nil {
					break
				}
				for range 8 {
					reply, err := peer.Receive()
					if isTimeout(err) {
						t.Errorf("peer %d: %v", i, err)
					}
					if err != nil {
						_ = peer.Close()
						return
					}
					replies[i] = append(replies[i], string(reply))
				}
			}
		})
	}
	<-full
	s.Stop()
	group.Wait()
	p.close()
	for i := range peers {
		for n, reply := range replies[i] {
			if reply != string(body(i, n)) {
				t.Fatalf("peer %d: reply %d is %.20q…", i, n, reply)
			}
		}
		slices.Sort(taken[i])
		slices.Sort(replies[i])
		if !slices.Equal(taken[i], replies[i]) {
			t.Errorf("peer %d: %d messages taken, %d answered", i, len(taken[i]), len(replies[i]))
		}
	}
}

// asked is a queue that counts how often it was asked to take messages.
type asked struct {
	Queue
	times atomic.Int64
}

func (a *asked) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	a.times.Add(1)
	return a.Queue.Submit(ctx, messages)
}

func stopWithFullQueue(t *testing.T, h Harness) {
	const peers = 4
	q := &asked{Queue: make(Queue)}
	s := start(t, h, q)
	for i := range peers {
		if err := s.dial().Send(body(i, 0)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			Answer(q.Take(t)) // the others wait for room
		}
		if h.Ends { // it reads from each peer apart, even while others wait
			Poll(t, "the message to be handed over", func() bool { return q.times.Load() > int64(i) })
		}
	}
	s.Stop()
}

func closeBusy(t *testing.T, h Harness) {
	const messages = 10
	q := make(Queue, messages)
	s := start(t, h, q)
	var taken []transport.Message
	for i := range messages {
		p := s.dial()
		if err := p.Send(body(i, i)); err != nil {
			t.Fatal(err)
		}
		taken = append(taken, q.Take(t))
	}
	var closing sync.WaitGroup
	for range 4 {
		closing.Go(func() {
			if err := s.Close(); err != nil {
				t.Error("close:", err)
			}
		})
	}
	closing.Wait()
	s.Wait() // although nothing is settled
	for _, m := range taken {
		Answer(m)
	}
}

func closeAnyTime(t *testing.T, h Harness) {
	t.Run("without serving", func(t *testing.T) {
		s := newService(t, h)
		if s.Status() == "" {
			t.Error("no status before Serve")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if s.Status() == "" {
			t.Error("no status after Close")
		}
	})
	t.Run("before serving", func(t *testing.T) {
		s := newService(t, h)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		s.serve(new(Echo))
		s.Wait()
	})
	t.Run("after serving", func(t *testing.T) {
		s := start(t, h, new(Echo))
		serves(t, s)
		if s.Status() == "" {
			t.Error("no status while serving")
		}
		s.Stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("context ended before serving", func(t *testing.T) {
		s := newService(t, h)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Serve(ctx, new(Echo)); err != nil {
			t.Error("Serve:", err)
		}
	})
}
