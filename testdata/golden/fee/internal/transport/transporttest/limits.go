// What peers do that they should not: too much, too long, nonsense, nothing.

package transporttest

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/fee/internal/transport"
)

// serves checks that a new peer is served by a queue that answers by itself.
func serves(t *testing.T, s *service) {
	t.Helper()
	p := s.dial()
	if err := exchange(p, s.h, 99, 0, 20); err != nil {
		t.Error("a good peer is not served:", err)
	}
}

// heap is how much memory is in use, in bytes.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// pitfall 66
func backPressure(t *testing.T, h Harness) {
	needs(t, !h.Lossy, "promise to keep what it has no room for")
	const messages, size, bound = 2048, 8 << 10, 4 << 20
	large := bytes.Repeat([]byte("x"), size)
	q := make(Queue)
	s := start(t, h, q)
	before := heap()
	peer := s.dial()
	var sent atomic.Int64
	var sending sync.WaitGroup
	sending.Go(func() {
		for range messages {
			if err := peer.Send(large); err != nil {
				t.Error(err)
				return
			}
			sent.Add(1)
		}
	})

	// Nothing is taken from the queue until the peer can send no more, because
	// the transport has stopped reading, or has sent all, because something
	// other than the transport keeps it.
	last, since := int64(-1), 0
	Poll(t, "the peer to stand still", func() bool {
		if n := sent.Load(); n != last {
			last, since = n, 0
		} else {
			since++
		}
		return since == 50 || last == messages
	})
	if grown := heap() - before; grown > bound {
		t.Errorf("the transport holds %d bytes that the queue did not take", grown)
	}

	if h.Replies {
		sending.Go(func() {
			for range messages {
				if _, err := peer.Receive(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range messages {
		m := q.Take(t)
		if !bytes.Equal(m.Body(), large) {
			t.Errorf("message of %d bytes, want %d", len(m.Body()), size)
		}
		m.Settle([]byte("done"), nil)
	}
	sending.Wait()
}

func tooLong(t *testing.T, h Harness) {
	needs(t, h.Limit > 0, "limit")
	p := newPool(2, func(m transport.Message) {
		if len(m.Body()) > h.Limit || bytes.IndexByte(m.Body(), 'z') >= 0 {
			t.Errorf("a message of %d bytes came, the limit is %d", len(m.Body()), h.Limit)
		}
		Answer(m)
	})
	s := start(t, h, p)
	peer := s.dial()
	longest := bytes.Repeat([]byte("x"), h.Limit)
	if err := peer.Send(longest); err != nil {
		t.Fatal(err)
	}
	if h.Replies {
		if reply, err := peer.Receive(); err != nil || !bytes.Equal(reply, longest) {
			t.Errorf("reply of %d bytes to the longest message, %v", len(reply), err)
		}
	}
	before := heap()
	var refused sync.WaitGroup
	for _, size := range []int{h.Limit + 1, 2 * h.Limit, 64 * h.Limit} {
		bad := s.dial()
		refused.Go(func() {
			_ = bad.Send(bytes.Repeat([]byte("z"), size)) // may fail, once refused
			if h.Ends {
				if reply, err := bad.Receive(); err == nil || isTimeout(err) {
					t.Errorf("%d bytes: reply %.20q…, %v, want the end", size, reply, err)
				}
			}
		})
	}
	refused.Wait()
	if grown := heap() - before; grown > int64(16*h.Limit)+1<<20 {
		t.Errorf("the transport holds %d bytes, the limit is %d", grown, h.Limit)
	}
	serves(t, s)
	s.Stop()
	p.close()
}

func garbage(t *testing.T, h Harness) {
	s := start(t, h, new(Echo))
	if _, ok := s.dial().(writer); !ok {
		t.Skip("the peers send no raw bytes")
	}
	random := rand.New(rand.NewPCG(1, 2))
	var group sync.WaitGroup
	for range 40 {
		noise := make([]byte, 1+random.IntN(64<<10))
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		p := s.dial()
		group.Go(func() {
			_, _ = p.(writer).Write(noise) // may be refused
			_ = p.Close()
		})
	}
	serves(t, s)
	group.Wait()
	serves(t, s)
	s.Stop()
}

// Peers that say nothing, or stop in the middle, keep nobody from being served,
// nor the service from ending.
func silentPeers(t *testing.T, h Harness) {
	var q Echo
	s := start(t, h, &q)
	for i := range 20 {
		p := s.dial()
		if w, ok := p.(beginner); ok && i%2 == 0 {
			if _, err := w.Write(w.Unfinished()); err != nil {
				t.Fatal(err)
			}
		}
	}
	serves(t, s)
	Poll(t, "the messages of the good peer", func() bool { return q.taken.Load() >= 20 })
	s.Stop()
	if n := q.taken.Load(); n != 20 {
		t.Errorf("%d messages came, want the 20 of the good peer", n)
	}
}

func vanishingPeers(t *testing.T, h Harness) {
	const peers = 40
	q := make(Queue, peers)
	s := start(t, h, q)
	for i := range peers {
		p := s.dial()
		if err := p.Send(body(i, i)); err != nil {
			t.Fatal(err)
		}
		// Half of them do not even wait until their message has been read.
		if i%2 == 0 {
			m := q.Take(t)
			_ = p.Close()
			Answer(m)
		}
		_ = p.Close()
	}
	ended := make(chan struct{})
	var answering sync.WaitGroup
	answering.Go(func() {
		for {
			select {
			case m := <-q:
				Answer(m)
			case <-ended:
				return
			}
		}
	})
	serves(t, s)
	s.Stop()
	close(ended)
	answering.Wait()
}

func halfClosedPeer(t *testing.T, h Harness) {
	needs(t, h.Replies && h.Ordered, "replies in order")
	const messages = 30
	q := make(Queue, messages)
	s := start(t, h, q)
	peer := s.dial()
	half, ok := peer.(halfCloser)
	if !ok {
		t.Skip("the peers can't half-close")
	}
	for i := range messages {
		if err := peer.Send(body(0, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for range messages {
		Answer(q.Take(t))
	}
	for i := range messages {
		if reply, err := peer.Receive(); err != nil || !bytes.Equal(reply, body(0, i)) {
			t.Fatalf("reply %d: %.20q…, %v", i, reply, err)
		}
	}
	if reply, err := peer.Receive(); err == nil || isTimeout(err) {
		t.Errorf("after the last reply: %.20q…, %v, want the end", reply, err)
	}
}

func slowPeer(t *testing.T, h Harness) {
	needs(t, h.Replies, "replies")
	const messages, size = 512, 128 << 10 // more than the system buffers
	reply := bytes.Repeat([]byte("x"), size)
	p := newPool(1, func(m transport.Message) {
		if bytes.Equal(m.Body(), []byte("flood")) {
			m.Settle(reply, nil)
		} else {
			Answer(m)
		}
	})
	s := start(t, h, p)
	peer := s.dial()
	var sending sync.WaitGroup
	sending.Go(func() {
		for range messages {
			if peer.Send([]byte("flood")) != nil {
				return // dropped
			}
		}
	})
	serves(t, s) // by the same worker
	sending.Wait()
	serves(t, s)

	// The end of the service does not wait for the peer either.
	begin := time.Now()
	s.Stop()
	t.Log("stopped after", time.Since(begin))
	p.close()
}

// A message that was begun has to be complete in time, however slowly it
// grows; its peer holds nothing for longer.
func unfinishedMessage(t *testing.T, h Harness) {
	needs(t, h.Impatient && h.Ends, "limit of time, or end to tell of it")
	var q Echo
	s := start(t, h, &q)
	bad := s.dial()
	w, ok := bad.(beginner)
	if !ok {
		t.Skip("the peers send no raw bytes")
	}
	if _, err := w.Write(w.Unfinished()); err != nil {
		t.Fatal(err)
	}
	good := s.dial()
	if err := exchange(good, h, 0, 0, 10); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan struct{})
	var trickling sync.WaitGroup
	trickling.Go(func() {
		defer close(dropped)
		if reply, err := bad.Receive(); err == nil || isTimeout(err) {
			t.Errorf("reply %.20q…, %v, want the end", reply, err)
		}
	})
	trickling.Go(func() {
		for {
			select {
			case <-dropped:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = w.Write([]byte{0}) // fails, once dropped
			}
		}
	})
	trickling.Wait()
	if err := exchange(good, h, 0, 10, 20); err != nil {
		t.Error("a peer that was silent meanwhile:", err)
	}
	s.Stop()
	if n := q.taken.Load(); n != 20 {
		t.Errorf("%d messages came, want the 20 of the good peer", n)
	}
}

// Nothing is left of peers that were here: see also checkLeaks.
func comeAndGo(t *testing.T, h Harness) {
	const peers, perPeer = 200, 1 << 10
	s := start(t, h, new(Echo))
	visit := func() {
		for i := range peers {
			if err := once(h, h.Address(s.Transport), i); err != nil {
				t.Fatalf("peer %d: %v", i, err)
			}
		}
	}
	visit() // what is made once is there after this
	before := heap()
	visit()
	Poll(t, "the memory of peers that have gone to be free", func() bool {
		return heap()-before < peers*perPeer/2
	})
	s.Stop()
}
