package timer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/job/internal/config"
	"example.com/job/internal/leftout"
	"example.com/job/internal/transport"
)

func TestMain(m *testing.M) { os.Exit(leftout.Main(m)) }

// handler is a queue, and what is behind it: it notes when each message comes, and
// what the message says, and settles it after a while as it is told to.
type handler struct {
	takes time.Duration
	err   func(run int) error
	block bool // settle nothing

	mu   sync.Mutex
	came []time.Time
	said []string
}

func (h *handler) Submit(ctx context.Context, messages []transport.Message) (int, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range messages {
		h.came = append(h.came, time.Now())
		h.said = append(h.said, string(m.Body()))
		if h.block {
			continue
		}
		var err error
		if h.err != nil {
			err = h.err(len(h.came))
		}
		time.AfterFunc(h.takes, func() { m.Settle([]byte("TRUE"), err) })
	}
	return len(messages), nil
}

func (h *handler) runs() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.came)
}

// times are those at which messages came, since began, to a tenth of a second.
func (h *handler) times(began time.Time) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, t := range h.came {
		all = append(all, t.Sub(began).Round(100*time.Millisecond).String())
	}
	return strings.Join(all, " ")
}

// served is a transport that serves in a bubble of synctest.
type served struct {
	*Transport
	log   bytes.Buffer
	began time.Time
	end   context.CancelFunc
	over  chan error
}

func serve(t *testing.T, h *handler, change func(c *Config)) *served {
	t.Helper()
	return serveIn(t, "", h, change)
}

// serveIn serves with a state directory.
func serveIn(t *testing.T, dir string, h *handler, change func(c *Config)) *served {
	t.Helper()
	c := Default().(*Config)
	change(c)
	c.Validate(func(key, reason string) { t.Errorf("%s %s", key, reason) })
	s := &served{began: time.Now(), over: make(chan error, 1)}
	made, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(&s.log, nil)), StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Transport = made.(*Transport)
	ctx, end := context.WithCancel(t.Context())
	s.end = end
	go func() { s.over <- s.Serve(ctx, h) }()
	t.Cleanup(func() { _ = s.Close(); end() })
	synctest.Wait()
	return s
}

func (s *served) wantEnd(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-s.over:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("Serve goes on")
	}
}

// pass lets time pass, and all that happens until then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func every(d time.Duration) func(*Config) {
	return func(c *Config) { c.Every = config.Duration(d) }
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{takes: 2 * time.Second}
		s := serve(t, h, func(c *Config) { c.Every, c.Message = config.Duration(5*time.Second), "go" })
		if got := s.Status(); got != "next run at "+s.began.Add(5*time.Second).Format(time.DateTime)+", 0 runs, 0 failed, 0 missed" {
			t.Error(got)
		}
		pass(16 * time.Second)
		if got := h.times(s.began); got != "5s 10s 15s" {
			t.Errorf("runs at %s", got)
		}
		if h.said[0] != "go" {
			t.Errorf("the handler got %q", h.said[0])
		}
		if got := s.Status(); got != "running for 1s, 3 runs, 0 failed, 0 missed" {
			t.Error(got)
		}
		for _, want := range []string{`level=INFO msg=begin run=1 due=`, `level=INFO msg=end run=1 took=2s`} {
			if !strings.Contains(s.log.String(), want) {
				t.Errorf("the log has no %q:\n%s", want, &s.log)
			}
		}
	})
}

func TestAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{}
		s := serve(t, h, func(c *Config) { c.AtStart, c.Every = true, config.Duration(5*time.Second) })
		pass(11 * time.Second)
		if got := h.times(s.began); got != "0s 5s 10s" {
			t.Errorf("runs at %s", got)
		}
	})
}

// No run begins before the one before it is done, and the times that pass
// meanwhile are told.
func TestNoOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{takes: 12 * time.Second}
		s := serve(t, h, every(5*time.Second))
		pass(36 * time.Second)
		if got := h.times(s.began); got != "5s 20s 35s" {
			t.Errorf("runs at %s", got)
		}
		if got := s.Status(); !strings.HasSuffix(got, "3 runs, 0 failed, 4 missed") {
			t.Error(got)
		}
		if !strings.Contains(s.log.String(), `level=WARN msg="missed times of the schedule" missed=2 next=`) {
			t.Errorf("log:\n%s", &s.log)
		}
	})
}

// In an upgrade the run of the process that is replaced is waited for, too. What is
// locked is the file as this process has opened it, so that two transports are like
// two processes.
func TestNoOverlapOfProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		h := &handler{takes: 12050 * time.Millisecond}
		before := serveIn(t, dir, h, every(5*time.Second))
		pass(6 * time.Second)
		before.Retire()
		after := serveIn(t, dir, h, func(c *Config) { c.AtStart, c.Every = true, config.Duration(5*time.Second) })
		pass(12 * time.Second)
		before.wantEnd(t)
		if got := h.times(before.began); got != "5s 17.1s" {
			t.Errorf("runs at %s", got)
		}
		pass(12 * time.Second)
		if got := after.Status(); !strings.HasSuffix(got, " 1 runs, 0 failed, 4 missed") {
			t.Error(got)
		}
		if n := strings.Count(after.log.String(), "waiting for the run of the process before this one"); n != 1 {
			t.Errorf("told %d times that it waits:\n%s", n, &after.log)
		}
	})
}

// While another process makes a run, a stop does not wait for it, and another
// schedule holds at once.
func TestWaitForAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, h := t.TempDir(), &handler{}
		serveIn(t, dir, &handler{block: true}, every(time.Second))
		s := serveIn(t, dir, h, every(2*time.Second))
		pass(3 * time.Second)
		to := *s.config
		to.Every = config.Duration(time.Hour)
		change, err := s.Reload(&to)
		if err != nil {
			t.Fatal(err)
		}
		change.Commit()
		synctest.Wait()
		if got := s.Status(); !strings.HasPrefix(got, "next run at "+time.Now().Add(time.Hour).Format(time.DateTime)) {
			t.Error(got)
		}
		pass(2 * time.Hour)
		s.end()
		s.wantEnd(t)
		if h.runs() > 0 {
			t.Errorf("%d runs beside that of another process", h.runs())
		}
	})
}

// Without a lock there are runs nevertheless, and it is said why there is none.
func TestNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{}
		s := serveIn(t, filepath.Join(t.TempDir(), "none"), h, every(5*time.Second))
		pass(11 * time.Second)
		if got := h.times(s.began); got != "5s 10s" {
			t.Errorf("runs at %s", got)
		}
		if n := strings.Count(s.log.String(), `level=WARN msg="runs of another process are not waited for" error="open `); n != 1 {
			t.Errorf("told %d times:\n%s", n, &s.log)
		}
	})
}

// After a run that failed for good the next waits longer, up to backoff_max, and
// after one that is done the schedule holds again.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{err: func(run int) error {
			if run > 12 {
				return nil
			}
			return errors.New("no")
		}}
		s := serve(t, h, func(c *Config) { c.Every, c.BackoffMax = config.Duration(time.Second), config.Duration(20*time.Second) })
		for h.runs() < 16 {
			pass(time.Second)
		}
		var longest time.Duration
		for i := range 12 {
			pause := h.came[i+1].Sub(h.came[i])
			if most := min(time.Second<<i, 20*time.Second) + time.Second; pause > most {
				t.Errorf("the pause after failure %d is %s, want at most %s", i+1, pause, most)
			}
			longest = max(longest, pause)
		}
		// Of several random parts of at most 20 s, one is longer than this.
		if longest < 5*time.Second {
			t.Errorf("the longest pause is %s", longest)
		}
		if pause := h.came[15].Sub(h.came[14]); pause != time.Second {
			t.Errorf("the pause between runs that are done is %s", pause)
		}
		if !strings.Contains(s.log.String(), `level=ERROR msg="end, failed" run=1 took=0s error=no`) {
			t.Errorf("log:\n%s", &s.log)
		}
		if got := s.Status(); !strings.Contains(got, ", 12 failed, ") {
			t.Error(got)
		}
	})
}

// Runs that fail fill no dead letters.
func TestNoDeadLetter(t *testing.T) {
	var m transport.Message = &message{}
	if kept, err := m.(transport.Burying).Bury(t.Context(), "no", 3); !kept || err != nil {
		t.Errorf("kept %t, %v", kept, err)
	}
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{}
		s := serve(t, h, func(c *Config) { c.Every, c.Jitter = config.Duration(10*time.Second), config.Duration(4*time.Second) })
		pass(1005 * time.Second)
		if len(h.came) != 100 {
			t.Fatalf("%d runs, want 100", len(h.came))
		}
		var earliest, latest time.Duration = time.Hour, 0
		for i, came := range h.came {
			late := came.Sub(s.began.Add(time.Duration(i+1) * 10 * time.Second))
			earliest, latest = min(earliest, late), max(latest, late)
		}
		if earliest < 0 || earliest > time.Second || latest > 4*time.Second || latest < 3*time.Second {
			t.Errorf("from %s to %s late, want from about 0s to about 4s", earliest, latest)
		}
	})
}

func TestCron(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble begins at midnight UTC on a Saturday
		h := &handler{}
		serve(t, h, func(c *Config) { c.Cron, c.TimeZone = "30 2 * * MON-FRI", "UTC" })
		pass(7 * 24 * time.Hour)
		var got []string
		for _, came := range h.came {
			got = append(got, came.UTC().Format("Mon 15:04:05"))
		}
		if want := "[Mon 02:30:00 Tue 02:30:00 Wed 02:30:00 Thu 02:30:00 Fri 02:30:00]"; fmt.Sprint(got) != want {
			t.Errorf("runs at %v, want %v", got, want)
		}
	})
}

// What runs when the service stops is waited for; nothing begins after that.
func TestStop(t *testing.T) {
	for name, stop := range map[string]func(s *served){
		"end of the context": func(s *served) { s.end() },
		"retire":             func(s *served) { s.Retire(); s.Retire() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{takes: 3 * time.Second}
				s := serve(t, h, every(5*time.Second))
				pass(6 * time.Second)
				stop(s)
				synctest.Wait()
				if len(s.over) != 0 {
					t.Error("Serve does not wait for the run")
				}
				pass(3 * time.Second)
				s.wantEnd(t)
				if len(h.came) != 1 {
					t.Errorf("%d runs", len(h.came))
				}
			})
		})
	}
}

// A run that is given back says so, and is not counted as failed.
func TestGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{err: func(int) error { return transport.ErrStopped }}
		s := serve(t, h, every(5*time.Second))
		pass(6 * time.Second)
		s.wantEnd(t)
		if !strings.Contains(s.log.String(), `msg="end, not done: the service is stopping" run=1`) || s.stats.failed > 0 {
			t.Errorf("%s, log:\n%s", s.Status(), &s.log)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &handler{block: true}, every(5*time.Second))
		pass(6 * time.Second)
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		s.wantEnd(t)
		if _, err := s.Reload(Default()); !errors.Is(err, transport.ErrStopped) {
			t.Errorf("Reload of what is closed: %v", err)
		}
		if got := s.Serve(t.Context(), &handler{}); got != nil {
			t.Error(got)
		}
	})
}

// Another schedule holds at once; the run under way is not touched. Whatever else
// changes leaves the schedule as it is.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &handler{takes: 4 * time.Second}
		s := serve(t, h, every(time.Hour))
		reload := func(change func(c *Config), abort bool) {
			t.Helper()
			to := *s.config
			change(&to)
			c, err := s.Reload(&to)
			if err != nil {
				t.Fatal(err)
			}
			if abort {
				c.Abort()
			} else {
				c.Commit()
			}
		}
		pass(7 * time.Second)
		reload(every(10*time.Second), true)
		reload(every(5*time.Second), false)
		pass(6 * time.Second)
		reload(every(8*time.Second), false)                 // at 13 s, and a run is under way since 12 s
		reload(func(c *Config) { c.Message = "it" }, false) // with the next run
		pass(17 * time.Second)
		if got := h.times(s.began); got != "12s 21s 29s" {
			t.Errorf("runs at %s", got)
		}
		if got := fmt.Sprint(h.said); got != "[ it it]" {
			t.Errorf("the handler got %s", got)
		}
	})
}

// A clock that is set back makes no time come twice.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, &handler{}, func(c *Config) { c.Cron, c.TimeZone = "0 * * * *", "UTC" })
		due := time.Now().Add(time.Hour) // later than now, as after the run of an hour that comes again
		(&loop{Transport: s.Transport}).finish(&message{due: due}, nil)
		if want := due.Truncate(time.Hour).Add(time.Hour); !s.next.Equal(want) {
			t.Errorf("after the run of %s comes that of %s, want %s", due, s.next, want)
		}
	})
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"the defaults", func(*Config) {}, nil},
		{"nothing", func(c *Config) { c.Every = 0 }, []string{"every must be more than 0s unless there is cron, is 0s"}},
		{"jitter", func(c *Config) { c.Jitter = c.Every }, []string{"jitter must be less than every, 1h0m0s, is 1h0m0s"}},
		{"zone", func(c *Config) { c.TimeZone = "Mars" }, []string{
			`time_zone must be the name of a time zone that this machine knows, such as "Europe/Berlin" or "UTC", is "Mars"`}},
		{"name", func(c *Config) { c.Cron, c.Every = "@daily", 0 }, nil},
		{"six fields", func(c *Config) { c.Cron = "*/5 * * * * *" }, []string{
			`cron must have five fields, as "30 2 * * MON-FRI" for half past two on weekdays, or be one like @daily, is "*/5 * * * * *"`}},
		{"out of range", func(c *Config) { c.Cron = "61 * * * *" }, []string{
			`cron is not a cron expression, "61 . . . .": .+`}},
		{"never", func(c *Config) { c.Cron = "0 0 30 2 *" }, []string{`cron never comes, "0 0 30 2 \*"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default().(*Config)
			test.change(c)
			var got []string
			c.Validate(func(key, reason string) { got = append(got, key+" "+reason) })
			if len(got) != len(test.want) {
				t.Fatalf("got  %q\nwant %q", got, test.want)
			}
			for i, want := range test.want {
				if got[i] != want && !regexp.MustCompile("^"+want+"$").MatchString(got[i]) {
					t.Errorf("got  %q\nwant %q", got[i], want)
				}
			}
		})
	}
}

// Either of the two days will do, as in crontab(5), and Sunday is 0 or 7.
func TestDays(t *testing.T) {
	from := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	for expression, want := range map[string]int{
		"0 12 15 * FRI": 5, // four Fridays, and a Sunday
		"0 12 15 * 7":   5,
		"0 12 * * 0":    5,
		"0 12 31 * *":   0,
		"@weekly":       4, // the first of them at the very beginning
	} {
		s, err := newSchedule(&Config{Cron: expression, TimeZone: "UTC"}, from)
		if err != nil {
			t.Fatal(err)
		}
		if got := countUpTo(s, from, from.AddDate(0, 0, 29), 1000); got != want {
			t.Errorf("%s: %d times in 29 days, want %d", expression, got, want)
		}
	}
}

// An hour that comes twice, or not at all, in summer time.
func TestSummerTime(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		leftout.Missing(t, "time zones: "+err.Error())
	}
	s, err := newSchedule(&Config{Cron: "30 * * * *", TimeZone: "Europe/Berlin"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for day, want := range map[time.Time]int{
		time.Date(2026, time.March, 29, 0, 0, 0, 0, zone):   23,
		time.Date(2026, time.October, 25, 0, 0, 0, 0, zone): 25,
		time.Date(2026, time.November, 1, 0, 0, 0, 0, zone): 24,
	} {
		if got := countUpTo(s, day, day.AddDate(0, 0, 1), 100); got != want {
			t.Errorf("%s has %d times, want %d", day.Format(time.DateOnly), got, want)
		}
	}
}
