package amqp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ledger is a channel that keeps to the rules of a broker: it knows what is
// outstanding, and is closed by a word about anything else.
type ledger struct {
	mu          sync.Mutex
	outstanding map[uint64]bool
	settled     map[uint64]outcome // what a message may be told to be
	last        uint64
	words       []string
	wrong       error
	closed      bool
}

func newLedger() *ledger {
	return &ledger{outstanding: make(map[uint64]bool), settled: make(map[uint64]outcome)}
}

// deliver has the ledger deliver so many more messages.
func (l *ledger) deliver(a *acks, n int) (messages []*message) {
	l.mu.Lock()
	for range n {
		l.last++
		l.outstanding[l.last] = true
		messages = append(messages, &message{tag: l.last})
	}
	l.mu.Unlock()
	a.took(messages)
	return messages
}

// settle settles a message, and lets the ledger know that it is.
func (l *ledger) settle(a *acks, m *message, o outcome) {
	l.mu.Lock()
	l.settled[m.tag] = o
	l.mu.Unlock()
	a.settle(m, o)
}

func (l *ledger) Ack(tag uint64, multiple bool) error {
	word := fmt.Sprintf("ack %d", tag)
	if multiple {
		word += " and before"
	}
	return l.take(word, tag, multiple, done)
}

func (l *ledger) Nack(tag uint64, multiple, requeue bool) error {
	if !requeue {
		return errors.New("a message is thrown away")
	}
	return l.take(fmt.Sprintf("back %d", tag), tag, multiple, back)
}

func (l *ledger) take(word string, tag uint64, multiple bool, o outcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("closed")
	}
	l.words = append(l.words, word)
	if !l.outstanding[tag] {
		l.wrong = errors.Join(l.wrong, fmt.Errorf("%s: unknown delivery tag", word))
	}
	for each := range l.outstanding {
		if each != tag && (!multiple || each > tag) {
			continue
		}
		delete(l.outstanding, each)
		if l.settled[each] != o {
			l.wrong = errors.Join(l.wrong, fmt.Errorf("%s: %d is something else: %d", word, each, l.settled[each]))
		}
	}
	return nil
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.outstanding)
}

func (l *ledger) check(t *testing.T, words ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrong != nil {
		t.Error(l.wrong)
	}
	if words != nil && fmt.Sprint(l.words) != fmt.Sprint(words) {
		t.Errorf("told %v, want %v", l.words, words)
	}
	l.words = nil
}

// Pitfall 57: whatever the order in which messages are settled, none is
// acknowledged that is under way, and in the end the broker knows of all of them.
func TestAcksInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			l := newLedger()
			a := newAcks(l)
			var open []*message
			for range 300 {
				switch n := random.IntN(10); {
				case n < 3:
					open = append(open, l.deliver(a, 1+random.IntN(40))...)
				case n < 4:
					time.Sleep(time.Duration(random.IntN(int(2 * stragglerDelay))))
				default:
					for range min(len(open), random.IntN(30)) {
						i := 0
						if n < 8 {
							i = random.IntN(len(open))
						}
						o := done
						if random.IntN(20) == 0 {
							o = back
						}
						l.settle(a, open[i], o)
						open = append(open[:i], open[i+1:]...)
					}
				}
				l.check(t)
			}
			if n := a.count(); n != len(open) {
				t.Errorf("%d under way, want %d", n, len(open))
			}
			for _, m := range open {
				l.settle(a, m, done)
			}
			a.awaitSettled()
			a.close()
			if n := l.count(); n > 0 {
				t.Errorf("the broker does not know of %d", n)
			}
			l.check(t)
		})
	}
}

func TestAcksGather(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a := newAcks(l)
		defer a.close()
		ms := l.deliver(a, 1000)
		settle := func(ms ...*message) {
			for _, m := range ms {
				l.settle(a, m, done)
			}
			synctest.Wait()
		}
		settle(ms[:5]...)
		l.check(t, []string{}...)
		time.Sleep(ackDelay)
		synctest.Wait()
		l.check(t, "ack 5 and before")

		settle(ms[5 : 5+ackCount]...) // as many as are told of at once
		l.check(t, "ack 105 and before")

		settle(ms[105])
		time.Sleep(ackDelay)
		synctest.Wait()
		l.check(t, "ack 106")
	})
}

// Messages that are done behind one that takes long wait for it for a moment only;
// what is given back does not wait at all.
func TestAcksBehindSlowMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a := newAcks(l)
		ms := l.deliver(a, 6)
		l.settle(a, ms[0], done)
		l.settle(a, ms[2], done)
		l.settle(a, ms[3], back)
		l.settle(a, ms[4], done)
		time.Sleep(ackDelay)
		synctest.Wait()
		l.check(t, "ack 1", "back 4")
		time.Sleep(stragglerDelay + ackDelay)
		synctest.Wait()
		l.check(t, "ack 3", "ack 5")
		l.settle(a, ms[5], done)
		l.settle(a, ms[1], done)
		time.Sleep(ackDelay)
		synctest.Wait()
		l.check(t, "ack 6 and before")
		a.close()
	})
}

// The end tells the rest, and waits for nobody after abandon.
func TestAcksEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a := newAcks(l)
		ms := l.deliver(a, 3)
		l.settle(a, ms[2], done)
		waited := make(chan struct{})
		go func() {
			a.awaitSettled()
			close(waited)
		}()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("did not wait for what is under way")
		default:
		}
		a.abandon()
		<-waited
		a.close()
		a.close()
		l.check(t, "ack 3")
		l.settle(a, ms[0], done) // nobody is told
		time.Sleep(time.Second)
		l.check(t, []string{}...)
	})
}

// A channel that is gone is told nothing, and keeps nobody.
func TestAcksClosedChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		a := newAcks(l)
		ms := l.deliver(a, 300)
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		for _, m := range ms {
			l.settle(a, m, done)
		}
		a.awaitSettled()
		a.close()
	})
}
