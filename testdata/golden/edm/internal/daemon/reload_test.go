package daemon

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/edm/internal/config"
	"example.com/edm/internal/database"
	"example.com/edm/internal/process"
	"example.com/edm/internal/worker"
)

// The parts of a service that has no transport, a database that is counted, and
// a handler with settings.

type settings struct {
	Own struct {
		Host string `toml:"host"`
	} `toml:"own"`
}

func (*settings) Validate(func(key, reason string)) {}

type handler struct{ hosts []string }

func (*handler) Handle(context.Context, []byte) ([]byte, error) { return nil, nil }

func (h *handler) reload(to config.Section) error {
	host := to.(*settings).Own.Host
	if host == "refused" {
		return errors.New("no such host")
	}
	h.hosts = append(h.hosts, host)
	return nil
}

// databases counts those that are open, by their path.
type databases struct {
	opens, size atomic.Int64 // how many were opened, and workers of the last
	mu          sync.Mutex
	open        map[string]int
}

func (d *databases) add(path string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[path] += n
}

// are reports whether one with the path is open, and no other.
func (d *databases) are(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, n := range d.open {
		if name == path && n != 1 || name != path && n != 0 {
			return false
		}
	}
	return true
}

type databaseConfig struct {
	of   *databases
	Path string `toml:"path"`
}

func (*databaseConfig) Validate(func(key, reason string)) {}

func (c *databaseConfig) Open(ctx context.Context, env database.Env) (*database.DB, error) {
	switch c.Path {
	case "impossible":
		return nil, errors.New("no such server")
	case "silent":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c.of.add(c.Path, 1)
	c.of.opens.Add(1)
	c.of.size.Store(int64(env.Workers))
	resize := func(workers int) { c.of.size.Store(int64(workers)) }
	return database.New(sql.OpenDB(connector{c}), database.Options{Resize: resize}), nil
}

type connector struct{ c *databaseConfig }

func (connector) Connect(context.Context) (driver.Conn, error) { return nil, driver.ErrBadConn }
func (connector) Driver() driver.Driver                        { return nil }
func (c connector) Close() error                               { c.c.of.add(c.c.Path, -1); return nil }

// reloadable is a service that was built, as far as a reload is concerned.
type reloadable struct {
	*service
	t         *testing.T
	stop      chan os.Signal
	databases *databases
	handler   *handler
}

func newReloadable(t *testing.T) *reloadable {
	t.Helper()
	r := &reloadable{t: t, stop: make(chan os.Signal, 1), databases: &databases{open: make(map[string]int)}, handler: &handler{}}
	dir := t.TempDir()
	h := &process.Handover{Stage: process.Detached, Config: filepath.Join(dir, "test.toml"), Dirs: process.Dirs{State: dir}}
	r.service = &service{
		parts: Parts{
			Name:     "test",
			Settings: func() config.Section { return &settings{} },
			Databases: map[string]func() database.Config{
				"counted": func() database.Config { return &databaseConfig{of: r.databases, Path: "default"} },
			},
			Handler: func(*database.DB, config.Section) (worker.Handler, error) { return r.handler, nil },
			Reload:  func(worker.Handler) func(config.Section) error { return r.handler.reload },
		},
		handover: h,
		signals:  process.Signals{Stop: r.stop},
		sockets:  process.NewSockets(h),
		failed:   make(chan error, 1),
	}
	r.source = newSource(r.parts, h)
	r.write(2, "one", "one")
	if err := r.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.end(nil) })
	return r
}

// text is a configuration with a number of workers, a database and a host.
func (r *reloadable) text(workers int, path, host string) string {
	return fmt.Sprintf("[daemon]\nuser = \"root\"\n[log]\nfile = \"test.log\"\n[worker]\ncount = %d\n[database.counted]\npath = %q\n[own]\nhost = %q\n",
		workers, path, host)
}

func (r *reloadable) write(workers int, path, host string) {
	r.t.Helper()
	if err := os.WriteFile(r.handover.Config, []byte(r.text(workers, path, host)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// check fails the test unless these are in force, and nothing else is left.
func (r *reloadable) check(generation, workers int, path, host string) {
	r.t.Helper()
	status := r.status()
	if status.Generation != generation || status.Workers != workers {
		r.t.Errorf("generation %d with %d workers, want %d and %d", status.Generation, status.Workers, generation, workers)
	}
	if host != "" && (len(r.handler.hosts) == 0 || r.handler.hosts[len(r.handler.hosts)-1] != host) {
		r.t.Errorf("the handler had %v, want %q", r.handler.hosts, host)
	}
	// An old database is closed in a goroutine.
	for deadline := time.Now().Add(time.Minute); !r.databases.are(path); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("open databases: %v, want %q", r.databases.open, path)
		}
	}
}

// Pitfall 41: whatever part can't be done, nothing is, and what was opened for
// it is closed again.
func TestReloadIsAllOrNothing(t *testing.T) {
	for _, test := range []struct{ path, host, want string }{
		{"impossible", "two", "database.counted: no such server"},
		{"two", "refused", "handler: no such host"},
	} {
		r := newReloadable(t)
		r.write(7, test.path, test.host)
		if err := r.reload(offer{}); err == nil || err.Error() != test.want {
			t.Errorf("reload: %v, want %q", err, test.want)
		}
		r.check(1, 2, "one", "")
		if status := r.status(); status.LastReloadError != test.want {
			t.Errorf("status says %q", status.LastReloadError)
		}
		if len(r.handler.hosts) > 0 {
			t.Errorf("the handler has %v", r.handler.hosts)
		}
	}
}

func TestReloadChangesAll(t *testing.T) {
	r := newReloadable(t)
	r.write(7, "two", "two")
	if err := r.reload(offer{}); err != nil {
		t.Fatal(err)
	}
	r.check(2, 7, "two", "two")
}

// With more workers the database is the same one, with more connections.
func TestReloadResizesDatabase(t *testing.T) {
	r := newReloadable(t)
	r.write(7, "one", "one")
	if err := r.reload(offer{}); err != nil {
		t.Fatal(err)
	}
	r.check(2, 7, "one", "one")
	if opens, size := r.databases.opens.Load(), r.databases.size.Load(); opens != 1 || size != 7 {
		t.Errorf("%d databases were opened, the last is for %d workers; want 1 and 7", opens, size)
	}
}

// Pitfall 42: a file that was opened before another took its place does not undo
// that change.
func TestReloadReadsTheFile(t *testing.T) {
	r := newReloadable(t)
	r.write(3, "one", "one")
	stale, err := os.Open(r.handover.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stale.Close() }()
	if err := os.Remove(r.handover.Config); err != nil {
		t.Fatal(err)
	}
	r.write(4, "one", "one")
	offered := offer{r.handover.Config: stale}
	if err := r.reload(offered); err != nil {
		t.Fatal(err)
	}
	if offered[r.handover.Config] == nil {
		t.Error("the file was taken")
	}
	if n := r.status().Workers; n != 4 {
		t.Errorf("%d workers, want 4", n)
	}
}

// Pitfall 42: of many who ask for a reload at once none does it himself: the main
// loop does, one after the other.
func TestReloadIsForTheMainLoop(t *testing.T) {
	const reloads = 5
	r := newReloadable(t)
	r.requests, r.ready = make(chan request), make(chan struct{})
	close(r.ready)
	answered := make(chan any, reloads)
	for range reloads {
		go func() { answered <- r.answer(t.Context(), process.ControlRequest{Command: askReload}) }()
	}
	for n := range reloads {
		select {
		case next := <-r.requests:
			r.check(n+1, 2, "one", "")
			next.reply <- next.do()
			r.check(n+2, 2, "one", "one")
		case answer := <-answered:
			t.Fatalf("reload %d is not asked of the main loop: %+v", n, answer)
		}
		if answer := (<-answered).(Answer); answer.Code != 0 || answer.Generation != n+2 {
			t.Errorf("reload %d is answered with %+v", n, answer)
		}
	}
}

// Pitfall 42: neither reloads that succeed nor those that fail leave anything.
func TestReloadsLeaveNothing(t *testing.T) {
	const reloads = 100
	r := newReloadable(t)
	before := runtime.NumGoroutine()
	for n := range reloads {
		path := []string{"two", "impossible", "one", "one"}[n%4]
		host := []string{"two", "two", "refused", "one"}[n%4]
		r.write(2+n%3, path, host)
		if err := r.reload(offer{}); (err == nil) != (path != "impossible" && host != "refused") {
			t.Fatalf("reload %d: %v", n, err)
		}
	}
	r.write(2, "one", "one")
	if err := r.reload(offer{}); err != nil {
		t.Fatal(err)
	}
	r.check(reloads/2+2, 2, "one", "one")
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// A server that does not answer keeps nobody from stopping the service.
func TestStopWhileReloading(t *testing.T) {
	r := newReloadable(t)
	r.write(7, "silent", "two")
	r.stop <- os.Interrupt
	if err := r.reload(offer{}); err == nil || !strings.Contains(err.Error(), "the service is stopping") {
		t.Errorf("reload: %v", err)
	}
	if !r.stopping {
		t.Error("the signal is lost")
	}
	r.check(1, 2, "one", "")
}

// Without a handler that takes part, its settings need a restart.
func TestReloadWithoutHandler(t *testing.T) {
	r := newReloadable(t)
	r.reloadHandler = nil
	r.write(7, "two", "two")
	var restart *RestartError
	if err := r.reload(offer{}); !errors.As(err, &restart) || !slices.Equal(restart.Keys, []string{"own.host"}) {
		t.Errorf("reload: %v", err)
	}
	r.check(1, 2, "one", "")
}

// Pitfall 13: what the handler has against its start ends the start.
func TestHandlerFails(t *testing.T) {
	for want, make := range map[string]func() (worker.Handler, error){
		"handler: no host":     func() (worker.Handler, error) { return nil, errors.New("no host") },
		"handler: panic: oops": func() (worker.Handler, error) { panic("oops") },
	} {
		r := newReloadable(t)
		r.parts.Handler = func(*database.DB, config.Section) (worker.Handler, error) { return make() }
		if _, err := r.makeHandler(r.configuration); err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
