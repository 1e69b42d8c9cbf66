package templates_test

// Pitfall 66: what comes in faster than it can be stored waits outside, not in
// memory.

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// asleep keeps the service from storing anything until wake is called, which may
// be called twice.
func (f *feed) asleep() (wake func()) {
	f.t.Helper()
	ctx := context.Background()
	db := f.open()
	conn, err := db.Conn(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	statements := map[string][]string{
		"sqlite":   {"BEGIN IMMEDIATE"},
		"mysql":    {"LOCK TABLES feed WRITE"},
		"postgres": {"BEGIN", "LOCK TABLE feed IN ACCESS EXCLUSIVE MODE"},
	}
	for _, statement := range statements[f.database] {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			f.t.Fatal(err)
		}
	}
	wake = sync.OnceFunc(func() {
		end := "ROLLBACK"
		if f.database == "mysql" {
			end = "UNLOCK TABLES"
		}
		if _, err := conn.ExecContext(ctx, end); err != nil {
			f.t.Error(err)
		}
		if err := conn.Close(); err != nil && err != sql.ErrConnDone { //nolint:errorlint // as it is documented
			f.t.Error(err)
		}
	})
	f.t.Cleanup(wake)
	return wake
}

// memory is a figure of /proc/PID/status, in MB.
func (f *feed) memory(figure string) int {
	f.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.pid))
	if err != nil {
		f.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), figure+":")
	var kilobytes int
	if _, err := fmt.Sscanf(strings.TrimSpace(after), "%d kB", &kilobytes); err != nil {
		f.t.Fatal(err)
	}
	return kilobytes / 1024
}

// flood is a number of peers that send as much as they are let.
type flood struct {
	sent, answered atomic.Int64 // bytes; answers TRUE
	group          sync.WaitGroup
	conns          []net.Conn
}

// begin has peers send lines of so many bytes, total bytes in all.
func (fl *flood) begin(f *feed, peers, line, total int) {
	f.t.Helper()
	text := append(bytes.Repeat([]byte("x"), line-1), '\n')
	for range peers {
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			f.t.Fatal(err)
		}
		fl.conns = append(fl.conns, conn)
		fl.group.Go(func() {
			for range total / peers / line {
				n, err := conn.Write(text)
				fl.sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
		fl.group.Go(func() {
			answers := bufio.NewReader(conn)
			for {
				answer, err := answers.ReadString('\n')
				if err != nil {
					return
				}
				if answer == "TRUE\n" {
					fl.answered.Add(1)
				}
			}
		})
	}
	f.t.Cleanup(fl.end)
}

func (fl *flood) end() {
	for _, conn := range fl.conns {
		_ = conn.Close()
	}
	fl.group.Wait()
}

// A gigabyte is sent while the database sleeps: the queue fills, the peers are
// held back, and the service takes no more than 200 MB, then and when the
// database is awake again.
func TestFlood(t *testing.T) {
	const total, most = 1 << 30, 200
	inEachDatabase(t, func(f *feed) {
		f.env = append(f.env, "FEED_DATABASE_SQLITE_BUSY_TIMEOUT=5m", "FEED_WORKER_TIMEOUT=5m")
		f.build()
		f.start()
		wake := f.asleep()
		var fl flood
		fl.begin(f, 64, 60<<10, total)

		// Nothing moves for a second: all are held back.
		for last, since := int64(-1), time.Now(); time.Since(since) < time.Second; time.Sleep(10 * time.Millisecond) {
			if sent := fl.sent.Load(); sent != last {
				last, since = sent, time.Now()
			}
		}
		held, asleep := fl.sent.Load(), f.memory("VmHWM")
		if held >= total {
			f.t.Errorf("all %d bytes were taken while nothing could be stored", held)
		}
		if n := fl.answered.Load(); n > 0 {
			f.t.Errorf("%d messages were answered TRUE while nothing could be stored", n)
		}
		wake()
		for began := time.Now(); fl.answered.Load() < 2000; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 2*time.Minute {
				f.t.Fatalf("only %d messages stored two minutes after the database woke up\n%s", fl.answered.Load(), f.logTail())
			}
		}
		awake := f.memory("VmHWM")
		f.t.Logf("%d MB of 1 GiB taken, %d MB resident at most asleep, %d MB awake", held>>20, asleep, awake)
		if max(asleep, awake) >= most {
			f.t.Errorf("%d MB resident at most asleep, %d MB awake; want less than %d", asleep, awake, most)
		}
	})
}
