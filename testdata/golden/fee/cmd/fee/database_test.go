package main

// The database as it is seen from outside: away at the start, away later, with
// migrations. Another one takes the place of the project's, and does as a test
// wants.

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// buildStore builds the probe with a database, once.
var buildStore = sync.OnceValues(func() (string, error) {
	return buildVariant("store", map[string]string{
		"internal/wire/wire.go":             "store/wire/wire.go",
		"internal/transport/probe/probe.go": "probe/transport/probe.go",
		"internal/database/store/store.go":  "store/database/store.go",
		"cmd/" + name + "/handler.go":       "probe/handler/handler.go",
	})
})

// stored is an instance of that.
type stored struct{ *probed }

// newStore prepares one that waits for its database until a test has seen enough.
func newStore(t *testing.T) *stored {
	t.Helper()
	program, err := buildStore()
	if err != nil {
		t.Fatal(err)
	}
	s := &stored{&probed{newInstance(t)}}
	s.program = program
	if err := os.Mkdir(s.file(""), 0o755); err != nil {
		t.Fatal(err)
	}
	s.writeConfig(probeConfig + "[database]\nwait = \"1h\"\nconnections = 0\ncheck_every = \"10ms\"\n" +
		fmt.Sprintf("[database.store]\nfolder = %q\n", s.file("")))
	s.becomeRootIfAlone()
	return s
}

// file is the path of one that tells the database how to do.
func (s *stored) file(name string) string { return filepath.Join(s.dir, "store", name) }

// put makes such a file, of lines.
func (s *stored) put(name string, lines ...string) {
	s.t.Helper()
	text := strings.Join(lines, "\n")
	if err := os.WriteFile(s.file(name), []byte(text+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// remove removes it.
func (s *stored) remove(name string) {
	s.t.Helper()
	if err := os.Remove(s.file(name)); err != nil {
		s.t.Fatal(err)
	}
}

// becomesReady waits until the daemon is ready, or is not.
func (s *stored) becomesReady(ready bool) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("ready is %t", ready), func() bool { return (s.run("status", "--ready").code == 0) == ready })
}

// Pitfall 13: a start waits for a database that is away, says that it does, and is
// no success before the database is there.
func TestStartWaitsForDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.put("away")
	started := s.background("start", "--wait", "1h")
	pid := s.startingPid()
	s.eventually("it says what it waits for", func() bool { return s.status().NotReady != nil })
	s.want(0, fmt.Sprintf(`: starting \(pid %d\), waiting for the database, up`, pid), "status")
	s.want(150, `"state":"starting","pid":\d+,"ready":false,"not_ready":\["waiting for the database"\]`, "--json", "status", "--ready")
	select {
	case o := <-started:
		t.Fatalf("start has ended: %+v", o)
	default:
	}
	s.remove("away")
	s.check(<-started, 0, fmt.Sprintf(`: started \(pid %d\)`, pid), "start")
	s.want(0, `"state":"ready","pid":\d+,"ready":true`, "--json", "status", "--ready")
	if log := s.log(); strings.Count(log, "waiting for the database") != 1 || strings.Count(log, "the database is there") != 1 ||
		!strings.Contains(log, "server store: connection refused") {
		t.Error("the log does not tell once that it waits, for what, and until when")
	}
}

// Pitfall 13: when the time to wait is over, or it is of no use, the start fails
// and says why.
func TestStartWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.put("away")
	// Long enough for the slowest machine to be told by the service what it waits for.
	s.want(150, `: start: not ready in time: waiting for the database \(5s\)\n$`, "start", "--wait", "5s")
	s.wantDown()
	for wait, text := range map[string]string{
		`"200ms"`: `database\.store: not reachable for 200ms: server store: connection refused`,
		`"0s"`:    `database\.store: server store: connection refused`,
	} {
		s.set("wait", wait)
		s.want(1, `: start: `+text+`\n$`, "start")
		s.want(1, `: foreground: `+text+`\n$`, "foreground")
		s.wantDown()
	}
	s.set("wait", `"1h"`)
	s.put("wrong")
	s.want(1, `: start: database\.store: server store: access denied\n$`, "start")
	s.remove("wrong")
	s.remove("away")
	s.put("pending", "1.sql", "broken")
	s.want(1, `: start: database\.store: migrate: broken: syntax error\n$`, "start")
	s.wantDown()
}

// Pitfall 20: TERM while it waits ends it.
func TestTermWhileWaitingForDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.put("away")
	started := s.background("start", "--wait", "1h")
	pid := s.startingPid()
	s.eventually("it waits", func() bool { return s.status().NotReady != nil })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.check(<-started, 1, `: start: stopped while starting\n$`, "start")
	s.wantDown()
}

// Pitfall 64: without its database the service is not ready, and says so; it is
// again when the database is.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pid := s.start()
	const rounds = 3
	for n := range rounds {
		s.put("away")
		s.becomesReady(false)
		s.want(0, fmt.Sprintf(`: running \(pid %d\), not ready: the database is not reachable, up`, pid), "status")
		s.want(150, `"state":"ready","pid":\d+,"ready":false,"not_ready":\["the database is not reachable"\].*"database":"store, not reachable"`, "--json", "status", "--ready")
		s.want(0, fmt.Sprintf(`: already running \(pid %d\)`, pid), "start")
		// What needs no database goes on.
		s.set("attempts", fmt.Sprint(n+2))
		s.want(0, fmt.Sprintf(`\(pid %d, generation %d\)`, pid, n+2), "reload")
		if got := s.ask("run echo hello"); !strings.Contains(got, "hello") {
			t.Errorf("a job was answered %q", got)
		}
		s.remove("away")
		s.becomesReady(true)
		s.want(0, fmt.Sprintf(`: ready \(pid %d\), up`, pid), "status")
	}
	log := s.log()
	for _, text := range []string{"the database is not reachable", "the database is reachable again"} {
		if n := strings.Count(log, `msg="`+text+`"`); n != rounds {
			t.Errorf("the log says %d times that %s, want %d", n, text, rounds)
		}
	}
}

// Pitfall 41: a reload that takes another pool needs the database, and without it
// changes nothing; what it says of the pool is in force when it is back.
func TestReloadWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.start()
	s.put("away")
	s.becomesReady(false)
	s.set("connections", "7")
	s.want(1, `: reload: database\.store: server store: connection refused\n$`, "reload")
	s.remove("away")
	s.want(0, `generation 2`, "reload")
	s.becomesReady(true)
	s.logs("opened database=store connections=7")
}

// Pitfall 44: the supervisor knows what the start waits for and gives it time; a
// database that is away is no lack of a sign of life.
func TestSupervisorAndDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	supervisor := newSupervisor(s.instance)
	s.put("away")
	cmd := supervisor.foreground("WATCHDOG_USEC=150000")
	supervisor.await(`EXTEND_TIMEOUT_USEC=\d+`, 2)
	supervisor.await(`STATUS=starting \(pid \d+\), waiting for the database, .*`, 1)
	if n := supervisor.count(`READY=1|STOPPING=1`); n != 0 {
		t.Error("it is ready, or stopping, while it waits")
	}
	s.remove("away")
	supervisor.await(`READY=1`, 1)
	s.put("away")
	supervisor.await(`STATUS=running \(pid \d+\), not ready: the database is not reachable, .*`, 1)
	signs := supervisor.count(`WATCHDOG=1`)
	supervisor.await(`WATCHDOG=1`, signs+5)
	s.remove("away")
	ready := `STATUS=ready \(pid \d+\), .*`
	supervisor.await(ready, 2)
	s.want(0, `: stopped`, "stop")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// An upgrade waits like a start, and leaves the old process alone.
func TestUpgradeWithoutDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pid := s.start()
	s.put("away")
	s.set("wait", `"100ms"`)
	s.want(1, `database\.store: not reachable for 100ms`, "upgrade")
	s.remove("away")
	s.becomesReady(true)
	if now := s.status().PID; now != pid {
		t.Errorf("pid %d, want %d", now, pid)
	}
	s.put("away")
	s.becomesReady(false)
	s.set("wait", `"1h"`)
	upgraded := s.background("upgrade", "--wait", "1h")
	s.logs("waiting for the database")
	s.remove("away")
	s.check(<-upgraded, 0, `: upgraded \(pid `, "upgrade")
	s.want(0, ``, "status", "--ready")
}

// The migrations are applied when told to, and by a start, each once, whether the
// daemon runs or not; and by nobody but the user of the service.
func TestMigrate(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.want(0, `: migrate: nothing to do\n$`, "migrate")
	s.put("pending", "1.sql", "2.sql")
	s.want(0, `: migrate: 2 applied: 1\.sql, 2\.sql\n$`, "migrate")
	s.want(0, `: migrate: nothing to do\n$`, "migrate")
	s.wantDown()
	s.put("pending", "1.sql", "2.sql", "3.sql")
	s.start()
	s.logs(`msg="migration applied" name=3.sql`)
	s.put("pending", "1.sql", "2.sql", "3.sql", "4.sql")
	s.want(0, `"result":"migrate: 1 applied: 4\.sql".*"applied":\["4\.sql"\]`, "--json", "migrate")
	s.put("pending", "5.sql", "broken", "6.sql")
	s.want(1, `: migrate: database\.store: migrate: broken: syntax error \(applied before that: 5\.sql\)\n$`, "migrate")
	s.want(0, `ready`, "status", "--ready")
	s.want(0, `: stopped`, "stop")

	entries, err := os.ReadDir(filepath.Join(s.dir, "state"))
	if err != nil || len(entries) == 0 {
		t.Fatalf("%v, %v", entries, err)
	}
	state, err := os.Stat(filepath.Join(s.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	owner := state.Sys().(*syscall.Stat_t).Uid
	if os.Geteuid() == 0 && owner == 0 && !s.staysRoot() {
		t.Error("the state directory belongs to root")
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != owner {
			t.Errorf("%s belongs to uid %d, not to that of the service, %d", entry.Name(), uid, owner)
		}
	}
}

// staysRoot reports whether the service is to, see becomeRootIfAlone.
func (s *stored) staysRoot() bool {
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^user = "root"`).Match(text)
}

func TestMigrateFails(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.put("away")
	s.set("wait", `"100ms"`)
	o := s.want(1, `: migrate: database\.store: not reachable for 100ms: server store: connection refused\n$`, "migrate")
	if !strings.Contains(o.stderr, ": migrate: warning: waiting 100ms for the database: ") {
		t.Errorf("it does not say that it waits: %q", o.stderr)
	}
	s.set("wait", `"-1s"`)
	s.want(6, `database\.wait: must not be negative`, "migrate")
	s.want(2, `unexpected argument`, "migrate", "now")
	s.set("wait", `"1h"`)
	s.remove("away")

	// It is ended like any other program.
	s.put("away")
	cmd := s.command("migrate")
	stderr := s.stderr()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.logs("waiting 1h0m0s for the database")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it has succeeded")
	}
}

func TestMigrateWithoutDatabase(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.want(0, `: migrate: nothing to do, the service has no database\n$`, "migrate")
}

// The section holds for any database; each key of it can change while the service
// runs, and come from the environment.
func TestDatabaseSettings(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	for key, value := range map[string]string{
		"wait": `"x"`, "connections": "-1", "max_lifetime": `"-1s"`, "max_idle_time": "1", "check_every": `"0s"`,
	} {
		i.writeConfig(i.defaultConfig())
		i.set(key, value)
		i.want(6, `:\d+:1: database\.`+key+`: must `, "check")
	}
	i.writeConfig(i.defaultConfig())
	i.start()
	for key, value := range map[string]string{
		"wait": `"1s"`, "connections": "3", "max_lifetime": `"1m"`, "max_idle_time": `"0s"`, "check_every": `"1s"`,
	} {
		i.set(key, value)
		i.want(0, `reloaded`, "reload")
	}
	i.want(0, `generation 7`, "reload")
	i.env = append(i.env, parts().EnvPrefix()+"DATABASE_WAIT=never")
	i.want(6, `DATABASE_WAIT: database\.wait: must be a duration`, "check")
}
