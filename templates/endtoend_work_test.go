package templates_test

// Work that is under way when the daemon ends, in one way or another.

import (
	"bufio"
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// client sends numbered lines, one at a time, until stop is closed; it connects
// again whenever it must. It returns the lines that were answered TRUE.
func (s *service) client(address string, id int, stop <-chan struct{}) (answered []string) {
	for n := 0; ; {
		select {
		case <-stop:
			return answered
		default:
		}
		conn, err := connect(address)
		if err != nil {
			time.Sleep(time.Millisecond) // the daemon is down; bounded by stop
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(requestLimit))
		answers := bufio.NewReader(conn)
		for {
			line := fmt.Sprintf("client %d line %d", id, n)
			n++
			if _, err := fmt.Fprintln(conn, line); err != nil {
				break
			}
			answer, err := answers.ReadString('\n')
			if err != nil {
				break
			}
			if answer == "TRUE\n" {
				answered = append(answered, line)
			}
			select {
			case <-stop:
				_ = conn.Close()
				return answered
			default:
			}
		}
		_ = conn.Close()
	}
}

// stored returns how often each line is in the database.
func (s *service) stored() map[string]int {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.databaseFile)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT body FROM exampled")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	lines := make(map[string]int)
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			s.t.Fatal(err)
		}
		lines[body]++
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return lines
}

// Pitfall 57: with eight clients sending, the daemon is killed six times and
// started again; every line that was answered TRUE is stored, once.
func TestAnsweredIsStored(t *testing.T) { overStreams(t, answeredIsStored) }

func answeredIsStored(t *testing.T, s *service, address string) {
	pid := s.start()
	stop := make(chan struct{})
	answered := make([][]string, 8)
	var clients sync.WaitGroup
	for id := range answered {
		clients.Go(func() { answered[id] = s.client(address, id, stop) })
	}
	for kill := range 6 {
		// Enough for work to be under way at the moment of the kill.
		time.Sleep(time.Duration(50+30*kill) * time.Millisecond)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		pid = s.start() // pitfall 6: what the killed daemon left does not block
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	clients.Wait()
	s.want(0, `stopped`, "stop")

	stored, total := s.stored(), 0
	for _, lines := range answered {
		total += len(lines)
		for _, line := range lines {
			if stored[line] != 1 {
				t.Errorf("%q was answered TRUE and is stored %d times", line, stored[line])
			}
		}
	}
	if total < 100 {
		t.Errorf("only %d lines were answered: the test tested little", total)
	}
	t.Logf("%d lines answered TRUE, %d stored, 6 kills", total, len(stored))
}

// Pitfall 56: what is under way when TERM comes is finished and answered: with
// clients that send without a pause, every line that was stored was answered.
func TestStopDrains(t *testing.T) { overStreams(t, stopDrains) }

func stopDrains(t *testing.T, s *service, address string) {
	s.start()
	var clients sync.WaitGroup
	answered := make([]int, 4)
	started := make(chan struct{}, len(answered))
	for id := range answered {
		conn, err := connect(address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(requestLimit))
		clients.Go(func() { // until the daemon ends the connection
			for n := 0; ; n++ {
				if _, err := fmt.Fprintf(conn, "client %d line %d\n", id, n); err != nil {
					return
				}
			}
		})
		clients.Go(func() {
			defer func() { _ = conn.Close() }()
			for answers := bufio.NewReader(conn); ; {
				answer, err := answers.ReadString('\n')
				if err != nil {
					return
				}
				if answer != "TRUE\n" {
					t.Errorf("an answer is %q", answer)
				}
				if answered[id]++; answered[id] == 100 {
					started <- struct{}{}
				}
			}
		})
	}
	for range answered {
		<-started
	}
	s.want(0, `stopped`, "stop")
	clients.Wait()
	total := 0
	for _, n := range answered {
		total += n
	}
	if stored := s.stored(); len(stored) != total {
		t.Errorf("%d lines are stored, %d were answered", len(stored), total)
	}
}

// stuck starts the service and sends it a line that it can't store; release lets
// it go on.
func (s *service) stuck() (pid int, conn net.Conn, release func()) {
	s.t.Helper()
	s.env = append(s.env, "EXAMPLED_DATABASE_SQLITE_BUSY_TIMEOUT=1h", "EXAMPLED_WORKER_TIMEOUT=1h")
	pid = s.start()
	release = s.hold(false)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(requestLimit))
	if _, err := fmt.Fprintln(conn, "stuck"); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the line is in flight", func() bool {
		_, out := s.run("status")
		return strings.Contains(out, ", 1 in flight")
	})
	return pid, conn, release
}

// unanswered checks that the connection ends without an answer.
func (s *service) unanswered(conn net.Conn) {
	s.t.Helper()
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		s.t.Errorf("a line that was not stored was answered %q", answer)
	}
}

// Pitfalls 32 and 36: a stop that must not kill leaves a daemon whose drain does
// not end running; a second one, being a second TERM, ends the drain.
func TestStopWithoutKill(t *testing.T) {
	s := newService(t)
	s.env = append(s.env, "EXAMPLED_DAEMON_STOP_TIMEOUT=1h")
	pid, conn, release := s.stuck()
	s.want(151, `still running after 200ms`, "stop", "--timeout", "200ms", "--no-kill")
	s.want(0, fmt.Sprintf(`draining \(pid %d\), .* 1 in flight`, pid), "status")
	s.want(150, ``, "status", "--ready")
	// Another stop leaves the drain alone; another TERM ends it.
	s.want(151, `still running after 200ms`, "stop", "--timeout", "200ms", "--no-kill")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.want(0, `stopped|not running`, "stop", "--timeout", "1h")
	s.unanswered(conn)
	release()
}

// Pitfalls 31 and 32: a stop that reaches its deadline kills, says so and what
// was lost, and returns when the lock and the port are free.
func TestStopKills(t *testing.T) {
	s := newService(t)
	s.env = append(s.env, "EXAMPLED_DAEMON_STOP_TIMEOUT=1h")
	_, conn, release := s.stuck()
	s.want(0, `stop: killed after 200ms, 1 jobs unfinished\n`, "stop", "--timeout", "200ms")
	s.unanswered(conn)
	release()
	s.start()
	if stored := s.stored(); len(stored) != 0 {
		t.Errorf("stored: %v", stored)
	}
}

// Pitfall 34: a daemon that is stopped ends its drain by itself at stop_timeout,
// and gives back what is not done.
func TestDrainAtItsDeadline(t *testing.T) {
	s := newService(t)
	s.env = append(s.env, "EXAMPLED_DAEMON_STOP_TIMEOUT=200ms")
	_, conn, release := s.stuck()
	s.want(0, `stopped`, "stop", "--timeout", "1h")
	s.unanswered(conn)
	release()
	log, err := os.ReadFile(filepath.Join(s.dir, "log", "exampled.log"))
	if err != nil || !strings.Contains(string(log), `msg="the time to drain is over" unfinished=1`) {
		t.Errorf("the log does not say what was left: %v\n%s", err, log)
	}
	s.want(3, `not running`, "status")
}
