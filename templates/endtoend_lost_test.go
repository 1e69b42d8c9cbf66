package templates_test

// Pitfalls 56 and 57: whatever dies, no message that was acknowledged is missing.

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// An attack ends something and has the service go on.
type attack struct {
	name string
	act  func()
}

// attacks are those that a service with this database can suffer.
func (f *feed) attacks() []attack {
	all := []attack{
		{"TERM", func() { f.end(syscall.SIGTERM); f.start() }},
		{"KILL", func() { f.end(syscall.SIGKILL); f.start() }},
	}
	if _, ok := servers[f.database]; ok {
		all = append(all, attack{"KILL of the server", f.killServer})
	}
	return all
}

// underFire makes attacks at random points on the way of done to all, until it
// gets there, and returns how many of each.
func (f *feed) underFire(points, all int, done func() int) map[string]int {
	f.t.Helper()
	return f.underFireOf(f.attacks(), points, all, done)
}

// underFireOf is underFire with these attacks.
func (f *feed) underFireOf(attacks []attack, points, all int, done func() int) map[string]int {
	f.t.Helper()
	at := make([]int, points)
	for i := range at {
		at[i] = rand.IntN(all)
	}
	slices.Sort(at)
	made := make(map[string]int)
	for _, point := range append(at, all) {
		progress, since := done(), time.Now()
		for n := progress; n < point; n = done() {
			if n > progress {
				progress, since = n, time.Now()
			}
			if time.Since(since) > time.Minute {
				f.t.Fatalf("no progress for a minute at %d of %d after %v\n%s", n, all, made, f.logTail())
			}
			time.Sleep(time.Millisecond)
		}
		if point < all {
			a := attacks[rand.IntN(len(attacks))]
			made[a.name]++
			a.act()
		}
	}
	return made
}

// senders send numbered messages over TCP, each until it is answered TRUE.
type senders struct {
	address    string
	messages   int
	next       atomic.Int64
	answered   atomic.Int64
	unanswered atomic.Int64 // sent, and the connection ended without an answer
	refused    atomic.Int64 // answered otherwise
	group      sync.WaitGroup
}

func (s *senders) begin(clients int) {
	for range clients {
		s.group.Go(func() {
			var conn *lineConn
			for n := int(s.next.Add(1)) - 1; n < s.messages; n = int(s.next.Add(1)) - 1 {
				for !s.send(&conn, n) {
				}
			}
		})
	}
}

// send makes one attempt with message n, on conn or a new connection in its
// place, and reports whether it was answered TRUE.
func (s *senders) send(conn **lineConn, n int) bool {
	if *conn == nil {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			time.Sleep(time.Millisecond) // the service is down for a moment
			return false
		}
		*conn = &lineConn{Conn: c, replies: bufio.NewReader(c)}
	}
	_ = (*conn).SetDeadline(time.Now().Add(time.Minute))
	_, err := fmt.Fprintln(*conn, numbered(n))
	var answer string
	if err == nil {
		answer, err = (*conn).replies.ReadString('\n')
	}
	switch {
	case err != nil:
		s.unanswered.Add(1)
		_ = (*conn).Close()
		*conn = nil
	case answer != "TRUE\n":
		s.refused.Add(1)
	default:
		s.answered.Add(1)
		return true
	}
	return false
}

// Ten thousand messages, and fifty times at a random point the daemon is ended
// with TERM or KILL, or its database server with KILL: each message that was
// answered is stored, and only one that was under way then may be stored twice.
func TestNothingAcknowledgedIsMissing(t *testing.T) {
	const messages, clients, points = 10000, 16, 50
	underFireInEachDatabase(t, func(f *feed) {
		f.build()
		f.start()
		s := &senders{address: f.address, messages: messages}
		s.begin(clients)
		attacks := f.underFire(points, messages, func() int { return int(s.answered.Load()) })
		s.group.Wait()
		f.command("stop")

		stored := f.stored()
		missing, duplicates := 0, 0
		for n := range messages {
			switch rows := stored[numbered(n)]; rows {
			case 0:
				missing++
			default:
				duplicates += rows - 1
			}
		}
		f.t.Logf("%v: %d messages had no answer, %d another one, %d rows are duplicates", attacks, s.unanswered.Load(), s.refused.Load(), duplicates)
		if missing > 0 || len(stored) != messages {
			f.t.Errorf("%d messages of %d were answered TRUE and are missing; %d different ones are stored", missing, messages, len(stored))
		}
		if duplicates > int(s.unanswered.Load()) {
			f.t.Errorf("%d duplicates, but only %d messages were under way when something ended", duplicates, s.unanswered.Load())
		}
		if n := s.refused.Load(); n > 0 {
			f.t.Errorf("%d answers were not TRUE: what is no fault of a message was held against it", n)
		}
	})
}

// plugInSpool adds the transport of testdata/spool to the project, with so many
// messages, and returns what tells how many are settled.
func (f *feed) plugInSpool(messages int) (settled func() int) {
	f.t.Helper()
	text, err := os.ReadFile("testdata/spool/spool.go")
	if err != nil {
		f.t.Fatal(err)
	}
	folder := f.path("project/internal/transport/spool")
	if err := os.Mkdir(folder, 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "spool.go"), text, 0o644); err != nil {
		f.t.Fatal(err)
	}
	wire := f.path("project/internal/wire/wire.go")
	if text, err = os.ReadFile(wire); err != nil {
		f.t.Fatal(err)
	}
	const entry, beside = "\t\"tcp\": tcp.Default,\n", "\t\"example.com/feed/internal/transport/tcp\"\n"
	plugged := strings.NewReplacer(entry, "\t\"spool\": spool.Default,\n"+entry, beside, "\t\"example.com/feed/internal/transport/spool\"\n"+beside).Replace(string(text))
	if err := os.WriteFile(wire, []byte(plugged), 0o644); err != nil {
		f.t.Fatal(err)
	}
	done := f.path("state/done")
	f.env = append(f.env, "FEED_TRANSPORT_SPOOL_DONE="+done, "FEED_TRANSPORT_SPOOL_MESSAGES="+strconv.Itoa(messages))
	return func() int {
		text, _ := os.ReadFile(done) // not there at first
		return bytes.Count(text, []byte("\n"))
	}
}

// The same with a transport that gives each message a key and delivers again what
// was not settled: each message is stored, and none of them twice. What was under
// way as the daemon died is no poison: it was not the same message each time.
func TestRedeliveredIsOneRow(t *testing.T) {
	const messages, points = 10000, 50
	underFireInEachDatabase(t, func(f *feed) {
		settled := f.plugInSpool(messages)
		f.env = append(f.env, "FEED_WORKER_ATTEMPTS=1000") // it is killed more often than three times
		f.build()
		f.start()
		attacks := f.underFire(points, messages, settled)
		f.command("stop")

		stored := f.stored()
		twice := 0
		for _, rows := range stored {
			if rows > 1 {
				twice++
			}
		}
		f.t.Logf("%v: %d messages stored, %d of them more than once", attacks, len(stored), twice)
		if len(stored) != messages || twice > 0 {
			f.t.Errorf("%d messages of %d are stored, %d of them more than once", len(stored), messages, twice)
		}
	})
}
