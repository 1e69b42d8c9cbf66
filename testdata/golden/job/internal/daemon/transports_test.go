package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/job/internal/logging"
	"example.com/job/internal/process"
	"example.com/job/internal/transport"
)

// remoteConfig is the section of a transport whose server is away for a while, as
// far as a start can tell.
type remoteConfig struct {
	URL string `toml:"url"`

	patience time.Duration
	away     time.Duration // after the first attempt
	then     error         // what is wrong afterwards
	began    time.Time
}

// errAway is unavailable.
type errAway struct{ error }

func (errAway) Unavailable() bool { return true }

func (*remoteConfig) Validate(func(key, reason string)) {}
func (*remoteConfig) Listens() []transport.Address      { return nil }
func (c *remoteConfig) Patience() time.Duration         { return c.patience }

func (c *remoteConfig) Unused() string {
	if c.URL == "" {
		return "url is empty"
	}
	return ""
}

func (c *remoteConfig) New(transport.Env) (transport.Transport, error) {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	if time.Since(c.began) < c.away {
		return nil, errAway{errors.New("server s1: connection refused")}
	}
	if c.then != nil {
		return nil, c.then
	}
	return &remoteTransport{}, nil
}

// remoteTransport is one that can be away.
type remoteTransport struct {
	silent
	why string
}

func (t *remoteTransport) Away() string { return t.why }

func starting(t *testing.T) *service {
	t.Helper()
	log, err := logging.Open(*logging.Default(), "")
	if err != nil {
		t.Fatal(err)
	}
	return &service{log: log, handover: &process.Handover{}, state: Starting}
}

// Pitfalls 13 and 64: a start waits for a server that is away, and names it in the
// end; what waiting does not help, it does not wait for.
func TestAwaitTransport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		section     remoteConfig
		want        string // error
		least, most time.Duration
	}{
		{"there", remoteConfig{patience: time.Minute}, "", 0, 0},
		{"back in time", remoteConfig{patience: 25 * time.Second, away: 10 * time.Second}, "", 10 * time.Second, 15 * time.Second},
		{"away", remoteConfig{patience: 25 * time.Second, away: time.Hour},
			"transport.remote: not reachable for 25s: server s1: connection refused", 25 * time.Second, 25 * time.Second},
		{"away, no wait", remoteConfig{away: time.Hour}, "transport.remote: server s1: connection refused", 0, 0},
		{"wrong password", remoteConfig{patience: time.Minute, then: errors.New("access refused")}, "transport.remote: access refused", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, begin := starting(t), time.Now()
				c := &Configuration{Transports: map[string]transport.Config{"remote": &test.section}}
				transports, err := s.openTransports(t.Context(), c)
				if took := time.Since(begin); took < test.least || took > test.most {
					t.Errorf("it took %s, want %s to %s", took, test.least, test.most)
				}
				if (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
					t.Errorf("got %v, want %q", err, test.want)
				}
				if (transports["remote"] != nil) != (err == nil) || (len(s.teardown.steps) == 1) != (err == nil) {
					t.Errorf("transports %v, %d steps to undo", transports, len(s.teardown.steps))
				}
				if s.waitsFor != "" {
					t.Errorf("it still is %s", s.waitsFor)
				}
				s.teardown.run(slog.New(slog.NewTextHandler(io.Discard, nil)))
			})
		})
	}
}

// The status says what a start waits for, and a service whose transport can't
// reach its server is not ready.
func TestTransportAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := starting(t)
		section := &remoteConfig{patience: time.Minute, away: 30 * time.Second}
		done := make(chan error, 1)
		go func() {
			transports, err := s.openTransports(t.Context(), &Configuration{Transports: map[string]transport.Config{"remote": section}})
			s.set(func() { s.transports = transports })
			done <- err
		}()
		time.Sleep(10 * time.Second)
		reasons := func() string {
			status, _ := s.snapshot()
			return fmt.Sprint(status.State, status.NotReady, status.Ready)
		}
		if got, want := reasons(), "starting[waiting for the server of transport remote] false"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		s.setState(Ready)
		if got := reasons(); got != "ready[] true" {
			t.Error(got)
		}
		s.transports["remote"].(*remoteTransport).why = "the broker is not reachable"
		if got, want := reasons(), "ready[transport remote: the broker is not reachable] false"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// A section without effect leaves the others alone, and is an error where there is
// no other. To give it an effect takes a restart.
func TestUnusedTransport(t *testing.T) {
	parts := transportParts()
	parts.Transports["remote"] = func() transport.Config { return &remoteConfig{} }
	load := func(text string) (*Configuration, error) { return LoadConfiguration(parts, "/test.toml", []byte(text)) }

	_, err := load("[transport.remote]\n")
	if want := "/test.toml: transport: no section tells how to reach the service: transport.remote: url is empty"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	unused, err := load("[transport.plain]\n[transport.remote]\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(unused.Transports) != 1 || unused.unused() != "transport.remote: url is empty" {
		t.Errorf("%v, %s", unused.Transports, unused.unused())
	}
	used, err := load("[transport.plain]\n[transport.remote]\nurl = 's1'\n")
	if err != nil || len(used.Transports) != 2 || used.unused() != "" {
		t.Fatalf("%v, %+v", err, used)
	}
	for _, change := range [][2]*Configuration{{used, unused}, {unused, used}} {
		restart, ok := errors.AsType[*RestartError](change[0].requireReloadable(change[1], false))
		if !ok || !slices.Equal(restart.Keys, []string{"transport.remote"}) {
			t.Errorf("%v", restart)
		}
	}
	if err := used.requireReloadable(used, false); err != nil {
		t.Error(err)
	}
}

// A start tells of a section that it does not use.
func TestUnusedTransportIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	log, err := logging.Open(*logging.Default(), file)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{log: log}
	if _, err := s.openTransports(t.Context(), &Configuration{Unused: map[string]string{"remote": "url is empty"}}); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(told), "transport.remote: url is empty") {
		t.Errorf("logged %q, %v", told, err)
	}
}
