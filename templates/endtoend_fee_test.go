package templates_test

// The service fee: trades of a tutorial on daemons in PHP, by the clients that it has,
// and what becomes of each when something fails.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// newReady returns a project of a preset, named feed, with its directories.
func newReady(t *testing.T, preset string, flags ...string) *feed {
	t.Helper()
	f := newFolder(t, "")
	f.do("", "go", append([]string{"run", "../cmd/daemongen", "new", "feed", "--preset", preset, "--dir", f.path("project"), "--no-input"}, flags...)...)
	return f
}

// newFee returns the service fee with MariaDB, and the address that it listens on.
func newFee(t *testing.T) (f *feed, address string) {
	t.Helper()
	tool(t, "TEST_ZMQ_PYTHON")
	f = newReady(t, "fee")
	f.database = "mysql"
	f.use(os.Getenv(servers["mysql"].variable))
	address = "tcp://" + freeAddress(t)
	f.setVariable("TRANSPORT_ZEROMQ_BIND", address)
	return f, address
}

// Each of the clients that there are gets TRUE for a trade, which is a row by then, and
// FALSE for what is none, which the log tells of. A trade that is sent again is the same
// row. The service runs as the user 80, of the group 80 and no other.
func TestFee(t *testing.T) {
	f, address := newFee(t)
	f.build()
	f.start()
	f.runsAs(80)
	requests := []string{"1,17,12.50", "1,17,12.5", "nonsense", "2,17", "2,jane,1", "2,17,1e3", "0", "", "2,17,-0.0000000001"}
	const want = "TRUE\nTRUE\nFALSE\nFALSE\nFALSE\nFALSE\nFALSE\nFALSE\nTRUE\n"
	python := `import sys, zmq
s = zmq.Context().socket(zmq.REQ)
s.connect(sys.argv[1])
for request in sys.argv[2:]:
    s.send_string(request)
    print(s.recv_string())`
	f.do("testdata/presets/gotrader", "go", "build", "-o", f.path("gotrader"), ".")
	for name, client := range map[string][]string{
		"python": {os.Getenv("TEST_ZMQ_PYTHON"), "-c", python},
		"php":    {tool(t, "TEST_ZMQ_PHP"), "testdata/presets/trader.php"},
		"go":     {f.path("gotrader")},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := f.open().Exec("DELETE FROM feed"); err != nil {
				t.Fatal(err)
			}
			args := append(append(client[1:len(client):len(client)], address), requests...)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, client[0], args...).Output()
			if err != nil || string(out) != want {
				t.Fatalf("%v, answered\n%s, want\n%s", err, out, want)
			}
			if got, want := f.trades(), "1 17 12.5000000000 Y; 2 17 -0.0000000001 Y; "; got != want {
				t.Errorf("stored is %s, want %s", got, want)
			}
		})
	}
	for _, text := range []string{`request=nonsense reason="it has 1 fields`, `request=2,17 reason="it has 2 fields`, `request=2,jane,1 reason="the login`, `request=2,17,1e3 reason="the volume`} {
		if !strings.Contains(f.logTail(), text) {
			t.Errorf("the log has no %s:\n%s", text, f.logTail())
		}
	}
	f.command("stop")
}

// runsAs fails the test unless the daemon is this user, if root has started it, and of
// the group of the same number alone.
func (f *feed) runsAs(id int) {
	f.t.Helper()
	f.t.Run("runs as", func(t *testing.T) {
		if os.Geteuid() != 0 {
			leaveOut(t, "only root can start a service as another user")
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.pid))
		if err != nil {
			t.Fatal(err)
		}
		number := strconv.Itoa(id)
		four := strings.Repeat("\t"+number, 4)
		for _, line := range []string{"Uid:" + four, "Gid:" + four} {
			if !strings.Contains(string(status), line+"\n") {
				t.Errorf("it is not %s:\n%s", line, status)
			}
		}
		groups := string(regexp.MustCompile(`Groups:\t(.*)`).FindSubmatch(status)[1])
		for _, group := range strings.Fields(groups) {
			if group != number {
				t.Errorf("it is of the groups %s", groups)
			}
		}
	})
}

// trades are the rows, in order, as text.
func (f *feed) trades() string {
	f.t.Helper()
	rows, err := f.open().Query("SELECT ticket, login, volume, status FROM feed ORDER BY ticket")
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all strings.Builder
	for rows.Next() {
		var ticket, login, volume, status string
		if err := rows.Scan(&ticket, &login, &volume, &status); err != nil {
			f.t.Fatal(err)
		}
		fmt.Fprintf(&all, "%s %s %s %s; ", ticket, login, volume, status)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	return all.String()
}

// A trade whose work fails is answered FALSE, leaves no row, and is a dead letter, whole,
// which can be done later; the others of its batch are not harmed.
func TestFeeWorkFails(t *testing.T) {
	f, address := newFee(t)
	source := f.path("project/feed.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	// As its owner would: some work, which writes something of its own.
	const empty = "trade Trade) error {\n\treturn nil\n}"
	work := strings.Replace(string(text), empty, `trade Trade) error {
	if _, err := tx.ExecContext(ctx, "UPDATE feed SET login = login + 1 WHERE ticket = ?", trade.Ticket); err != nil {
		return err
	}
	if _, err := os.Stat("`+f.path("broken")+`"); err == nil && trade.Volume == "666" {
		return errors.New("the devil is in it")
	}
	return nil
}`, 1)
	work = strings.Replace(work, `	"log/slog"`, "\t\"log/slog\"\n\t\"os\"", 1)
	if work == string(text) {
		t.Fatal("the function work is not as it was")
	}
	if err := os.WriteFile(source, []byte(work), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path("broken"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f.build()
	f.start()
	tr := f.begin(address, 100, 1000, 900)
	if got := f.ask(address, "5,17,666"); got != "FALSE" {
		t.Errorf("answered %q", got)
	}
	tr.wait()
	if got := f.ask(address, "6,17,1"); got != "TRUE" {
		t.Errorf("answered %q", got)
	}
	if got := f.rows("status = 'Y' AND login <> ticket % 100 AND ticket >= 1000"); got != 900 {
		t.Errorf("%d trades have their work done, want 900", got)
	}
	if got := f.rows("ticket = 5"); got != 0 {
		t.Error("what was answered FALSE is stored")
	}
	if out := f.command("deadletters", "list"); !strings.Contains(out, "the devil is in it") || strings.Count(out, "5,17,666") != 1 {
		t.Errorf("the dead letters are\n%s", out)
	}
	if out := f.command("status"); !strings.Contains(out, "901 done, 1 failed") {
		t.Errorf("the status is %s", out)
	}
	if err := os.Remove(f.path("broken")); err != nil {
		t.Fatal(err)
	}
	f.command("deadletters", "replay", "--all")
	if got := f.rows("ticket = 5 AND login = 18 AND status = 'Y'"); got != 1 {
		t.Errorf("after the replay %d rows", got)
	}
	f.command("stop")
}

// rows is how many rows there are with a condition.
func (f *feed) rows(where string) (n int) {
	f.t.Helper()
	if err := f.open().QueryRow("SELECT count(*) FROM feed WHERE " + where).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// ask sends one request and returns the answer.
func (f *feed) ask(address, request string) string {
	f.t.Helper()
	return strings.TrimSpace(f.do("", os.Getenv("TEST_ZMQ_PHP"), "testdata/presets/trader.php", address, request))
}

// traders are clients of libzmq that send trades, each until it is answered.
type traders struct {
	t       *testing.T
	cmd     *exec.Cmd
	answers atomic.Int64
	ended   chan struct{}

	mu sync.Mutex
	of map[int]string // answers, by ticket
}

// begin has so many clients send count trades, with the tickets from first on.
func (f *feed) begin(address string, clients, first, count int) *traders {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	f.t.Cleanup(cancel)
	tr := &traders{t: f.t, of: make(map[int]string), ended: make(chan struct{})}
	tr.cmd = exec.CommandContext(ctx, os.Getenv("TEST_ZMQ_PYTHON"), "testdata/presets/traders.py",
		address, strconv.Itoa(clients), strconv.Itoa(first), strconv.Itoa(count))
	tr.cmd.Stderr = os.Stderr
	out, err := tr.cmd.StdoutPipe()
	if err := errors.Join(err, tr.cmd.Start()); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		defer close(tr.ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			ticket, answer, _ := strings.Cut(lines.Text(), " ")
			n, _ := strconv.Atoi(ticket)
			tr.mu.Lock()
			tr.of[n] = answer
			tr.mu.Unlock()
			tr.answers.Add(1)
		}
	}()
	return tr
}

// wait returns when all are answered.
func (tr *traders) wait() {
	tr.t.Helper()
	<-tr.ended
	if err := tr.cmd.Wait(); err != nil {
		tr.t.Fatalf("the traders: %v", err)
	}
}

// Pitfalls 56 and 57: 100 clients send trades, and at 50 random points the daemon is
// killed. No trade that was answered TRUE is missing, no ticket is there twice, and none
// is half done.
func TestFeeUnderFire(t *testing.T) {
	const trades, clients, points = 10000, 100, 50
	f, address := newFee(t)
	f.setVariable("WORKER_ATTEMPTS", "1000") // being killed is no fault of theirs
	f.build()
	f.start()
	tr := f.begin(address, clients, 1, trades)
	kills := f.killed(points, trades, func() int { return int(tr.answers.Load()) })
	tr.wait()
	f.command("stop")
	for ticket := 1; ticket <= trades; ticket++ {
		if answer := tr.of[ticket]; answer != "TRUE" {
			t.Errorf("ticket %d was answered %q", ticket, answer)
		}
	}
	var distinct int
	if err := f.open().QueryRow("SELECT count(DISTINCT ticket) FROM feed WHERE status = 'Y' AND login = ticket % 100").Scan(&distinct); err != nil {
		t.Fatal(err)
	}
	if all := f.rows("1 = 1"); all != trades || distinct != trades {
		t.Errorf("%d rows, %d tickets that are done, want %d", all, distinct, trades)
	}
	t.Logf("%d kills, %d trades", kills, trades)
}

// killed kills the daemon at random points on the way of done to all, and starts it
// again, and returns how often.
func (f *feed) killed(points, all int, done func() int) (kills int) {
	f.t.Helper()
	made := f.underFireOf([]attack{{"KILL", func() { f.end(syscall.SIGKILL); f.start() }}}, points, all, done)
	return made["KILL"]
}

// S8, and pitfall 25: a stop under load answers what it has taken, within the time that
// it has for that, and what it has not taken is answered by the next process. The status
// tells what was handled, what failed, and what is in flight.
func TestFeeStopUnderLoad(t *testing.T) {
	f, address := newFee(t)
	f.build()
	f.start()
	tr := f.begin(address, 100, 1, 6000)
	counts := regexp.MustCompile(`(\d+) in flight, (\d+) done, (\d+) failed`)
	for tr.answers.Load() < 2000 {
		time.Sleep(time.Millisecond)
	}
	status := counts.FindStringSubmatch(f.command("status"))
	if status == nil || status[2] == "0" || status[3] != "0" {
		t.Errorf("the status is %q", status)
	}
	began := time.Now()
	f.command("stop", "--no-kill") // which fails if it is not over at the deadline
	took := time.Since(began)
	stored := f.rows("status = 'Y'")
	f.start()
	tr.wait()
	if got := f.rows("status = 'Y'"); got != 6000 {
		t.Errorf("%d rows, want 6000", got)
	}
	t.Logf("stopped in %s, with %d rows", took, stored)
	f.command("stop")
}
