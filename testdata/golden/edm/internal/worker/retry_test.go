package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/edm/internal/config"
)

func TestAttempts(t *testing.T) {
	tests := []struct {
		name     string
		fail     int // so many attempts
		err      error
		reply    string // with the error
		attempts int    // made
		want     string
	}{
		{"at once", 0, nil, "", 1, "TRUE"},
		{"at last", 2, errors.New("no"), "", 3, "TRUE"},
		{"never", 9, errors.New("no"), "", 3, "FALSE: no"},
		{"never, with a reply", 9, errors.New("no"), "ERROR 7", 3, "ERROR 7: no"},
		{"permanent", 9, permanent{}, "", 1, "FALSE: never"},
		{"permanent, wrapped", 9, fmt.Errorf("row 7: %w", permanent{}), "BAD", 1, "BAD: row 7: never"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				p := start(t, one(func(context.Context, []byte) ([]byte, error) {
					if attempts++; attempts > tt.fail {
						return []byte("TRUE"), nil
					}
					if tt.reply == "" {
						return nil, tt.err
					}
					return []byte(tt.reply), tt.err
				}), func(s *Settings) { s.Attempts = 3 })
				defer p.Close()
				ms := messages("x")
				submit(t, p, ms...)
				expect(t, tt.want, ms...)
				if s := p.Stats(); attempts != tt.attempts || s.Retries != uint64(tt.attempts-1) {
					t.Errorf("%d attempts, want %d: %+v", attempts, tt.attempts, s)
				}
			})
		})
	}
}

// A message that rests keeps its place in the bounded queue, and no worker.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healed atomic.Bool
		p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
			if string(request) == "bad" && !healed.Load() {
				return nil, errors.New("no")
			}
			return []byte("TRUE"), nil
		}), func(s *Settings) {
			s.Count, s.Queue, s.Attempts = 1, 2, 1000
			s.Backoff = config.Duration(time.Hour)
			s.BackoffMax = s.Backoff
		})
		defer p.Close()
		bad := messages("bad", "bad")
		submit(t, p, bad[0])
		synctest.Wait()
		good := messages("good", "better")
		submit(t, p, good...)
		expect(t, "TRUE", good...)

		submit(t, p, bad[1])
		synctest.Wait()
		if s := p.Stats(); s.Queued != 2 || s.InFlight != 0 || s.Done != 2 {
			t.Errorf("%+v", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Microsecond)
		defer cancel()
		if n, _ := p.Submit(ctx, asMessages(messages("no room"))); n != 0 {
			t.Error("messages that rest take no room")
		}
		healed.Store(true)
		expect(t, "TRUE", bad...)
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p := start(t, both{hang, func(ctx context.Context, _ [][]byte) []Result {
			<-ctx.Done()
			return nil
		}}, func(s *Settings) { s.Attempts, s.Timeout = 1, config.Duration(time.Minute) })
		defer p.Close()
		began := time.Now()
		ms := numbered(2)
		submit(t, p, ms...)
		expect(t, "FALSE: context deadline exceeded", ms...)
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("the batch and an attempt alone took %v, want 2m", took)
		}
	})
}

// pitfall 59: panics are failed attempts, and the pool is as large as before.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, one(func(ctx context.Context, request []byte) ([]byte, error) {
			if string(request) == "bad" {
				panic(fmt.Errorf("out of order"))
			}
			return ok(ctx, request)
		}), func(s *Settings) { s.Count, s.Attempts = 4, 2 })
		defer p.Close()
		log := logTo(p)
		bad := messages(strings.Split(strings.Repeat("bad ", 999)+"bad", " ")...)
		submit(t, p, bad...)
		expect(t, "FALSE: panic: out of order", bad...)
		good := numbered(100)
		submit(t, p, good...)
		expect(t, "TRUE", good...)
		synctest.Wait()
		if s := p.Stats(); s.Workers != 4 || s.Panics != 2000 || s.Failed != 1000 || s.Done != 100 || p.idle != 4 {
			t.Errorf("%+v, %d idle", s, p.idle)
		}
		if !strings.Contains(log.String(), "retry_test.go") {
			t.Errorf("no stack in the log:\n%.1000s", log)
		}
	})
}

// A panic(nil) and one within Permanent are panics like others.
func TestOddPanics(t *testing.T) {
	p := start(t, one(func(_ context.Context, request []byte) ([]byte, error) {
		if string(request) == "nil" {
			panic(nil)
		}
		return nil, oddError{}
	}), func(s *Settings) { s.Attempts = 1 })
	ms := messages("nil", "odd")
	submit(t, p, ms...)
	for _, m := range ms {
		if got := m.outcome(); !strings.HasPrefix(got, "FALSE: panic: ") {
			t.Errorf("%s: %s", m.body, got)
		}
	}
}

// Pitfall 59: a handler that ends the goroutine of its worker, as testing.FailNow
// does, thins the pool no more than one that panics.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exit := func(ctx context.Context, request []byte) ([]byte, error) {
			if string(request) == "bad" {
				runtime.Goexit()
			}
			return ok(ctx, request)
		}
		p := start(t, both{exit, func(context.Context, [][]byte) []Result {
			runtime.Goexit()
			return nil
		}}, func(s *Settings) { s.Count, s.Attempts = 4, 2 })
		defer p.Close()
		bad, good := messages(strings.Split(strings.Repeat("bad ", 99)+"bad", " ")...), numbered(100)
		submit(t, p, append(bad, good...)...)
		expect(t, "FALSE: the handler ended its goroutine", bad...)
		expect(t, "TRUE", good...)
		synctest.Wait()
		if s := p.Stats(); s.Workers != 4 || s.Failed != 100 || s.Done != 100 || p.idle != 4 {
			t.Errorf("%+v, %d idle", s, p.idle)
		}
	})
}

type oddError struct{}

func (oddError) Error() string   { return "odd" }
func (oddError) Permanent() bool { panic("odder") }

// The message that failed for good is in the log, whatever it holds.
func TestFailureIsLogged(t *testing.T) {
	long := strings.Repeat("é", 5000)
	tests := []struct{ body, want string }{
		{"1,2,3.5", "bytes=7 message=1,2,3.5\n"},
		{"with space", `bytes=10 message="with space"` + "\n"},
		{"", `bytes=0 message=""` + "\n"},
		{"\xff\x00", `bytes=2 message="\"\\xff\\x00\""` + "\n"},
		{long, "bytes=10000 message=" + long[:4096] + "\n"},
		{"a" + long, "bytes=10001 message=a" + long[:4094] + "\n"},
	}
	for _, tt := range tests {
		p := start(t, one(func(context.Context, []byte) ([]byte, error) { return nil, permanent{} }), nil)
		log := logTo(p)
		ms := messages(tt.body)
		submit(t, p, ms...)
		expect(t, "FALSE: never", ms...)
		if want := `level=ERROR msg="a message failed for good" error=never attempts=1 ` + tt.want; !strings.HasSuffix(log.String(), want) {
			t.Errorf("logged %.200q, want %.200q", log, want)
		}
	}
}
