package main

// Sections that are the handler's own, and what the handler has to do with a
// reload: with another handler, in the place of the project's.

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/daemon"
	"github.com/daemongen/daemongen/templates/exampled/internal/wire/wiretest"
)

// buildOwn builds the program with the handler that has settings, once.
var buildOwn = sync.OnceValues(func() (string, error) {
	files := map[string]string{"replacement.go": "settings/handler.go"}
	project := filepath.Join("..", "..")
	handler, err := filepath.Glob(filepath.Join(project, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range handler {
		files[filepath.Base(file)] = "" // as if it was not there
	}
	return buildVariant("own", files)
})

// newOwn prepares a service with that handler.
func newOwn(t *testing.T) *instance {
	t.Helper()
	program, err := buildOwn()
	if err != nil {
		t.Fatal(err)
	}
	i := newInstance(t)
	i.program = program
	i.own(i.defaultConfig())
	return i
}

// own sets the section of the handler, to lines of TOML, beside a configuration, in
// the place of those of the project's handler.
func (i *instance) own(config string, lines ...string) {
	i.t.Helper()
	i.writeConfig(string(wiretest.WithoutOwn([]byte(config))) + "\n[own]\n" + strings.Join(lines, "\n") + "\n")
}

func TestSettings(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	good := i.defaultConfig()

	i.own(good, `host = "a"`, `hots = "b"`, `port = "c"`)
	for _, command := range []string{"check", "start"} {
		i.want(6, `:\d+:1: own\.hots: unknown key; did you mean host\?`, command)
		i.want(6, `:\d+:1: own\.port: must be an integer, is a string`, command)
	}
	i.own(good, `port = 0`)
	i.want(6, `:\d+:1: own\.port: must be at least 1, is 0`, "check")
	i.own(good, `host = "refused"`) // Pitfall 13: what New has against it is said
	i.want(1, `: start: handler: there is no host "refused"\n$`, "start")
	i.want(3, `not running`, "status")
	i.own(good, `host = "panic"`)
	i.want(1, `: start: handler: panic: no such host\n$`, "start")
	i.want(3, `not running`, "status")

	env := i.env
	i.env = append(i.env, parts().EnvPrefix()+"OWN_PORT=7")
	i.own(good, `host = "one"`)
	pid := i.start()
	i.logs("settings host=one port=7")
	i.logs("state=" + filepath.Join(i.dir, "state"))
	i.own(good, `host = "two"`, `port = 8`)
	i.want(0, `generation 2`, "reload")
	i.logs("settings host=two port=7")
	i.own(good, `fixed = "x"`)
	i.want(152, `needs a restart: own\.fixed \(`, "reload")
	i.env = env

	i.own(good, `host = "two"`)
	i.want(0, fmt.Sprintf(`\(pid %d, generation 3\)`, pid), "reload")
	i.want(0, `stopped`, "stop")
	log := i.log()
	if closed := strings.Index(log, "handler closed"); closed < 0 || closed > strings.LastIndex(log, "msg=stopped") {
		t.Error("the handler was not closed before the service had stopped")
	}
}

// logs waits until the log has the text.
func (i *instance) logs(text string) {
	i.t.Helper()
	i.eventually("the log has "+text, func() bool { return strings.Contains(i.log(), text) })
}

// Pitfall 41: when the handler refuses, nothing at all has changed.
func TestHandlerRefuses(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	good := i.defaultConfig()
	i.own(good, `host = "one"`)
	i.set("count", "3")
	pid := i.start()
	for host, pattern := range map[string]string{
		"refused": `: reload: handler: there is no host "refused"\n$`,
		"panic":   `: reload: handler: panic: no such host\n$`,
	} {
		i.own(good, fmt.Sprintf("host = %q", host))
		i.set("count", "4")
		i.set("format", `"json"`)
		i.want(1, pattern, "reload")
		i.want(0, fmt.Sprintf(`ready \(pid %d\), .* 3 workers, .*the last reload failed`, pid), "status")
		i.want(0, `"generation":1,`, "--json", "status")
	}
	if log := i.log(); strings.Contains(log, `{"time"`) {
		t.Error("the format of the log has changed")
	}
	i.own(good, `host = "two"`)
	i.want(0, `generation 2`, "reload")
	i.logs("settings host=two")
}

// A handler that hangs in a reload keeps nobody from stopping the service.
func TestHandlerHangs(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	pid := i.start()
	i.own(i.defaultConfig(), `host = "hang"`)
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	i.logs("hanging")
	i.want(0, `reloading \(pid`, "status")
	o := i.want(0, `: stopped`, "stop")
	if o.stderr != "" {
		t.Errorf("stop: %s", o.stderr)
	}
}

// Without a method Reload the handler's own settings need a restart, and no
// others.
func TestSettingsWithoutReload(t *testing.T) {
	t.Parallel()
	i := newOwn(t)
	good := i.defaultConfig()
	i.own(good, `simple = true`)
	i.start()
	i.own(good, `simple = true`, `host = "two"`, `port = 8`)
	i.set("count", "4")
	i.want(152, `needs a restart: own\.host, own\.port \(try `, "reload")
	i.want(0, ` 16 workers`, "status")
	i.own(good, `simple = true`)
	i.set("count", "4")
	i.want(0, `generation 2`, "reload")
	i.want(0, ` 4 workers`, "status")
}

// colliding has a section that the service has too.
type colliding struct {
	Worker struct {
		Host string `toml:"host"`
	} `toml:"worker"`
}

func (*colliding) Validate(func(key, reason string)) {}

// A section of the service can't be one of the handler's as well. Every command
// loads the configuration like this.
func TestSettingsCollide(t *testing.T) {
	t.Parallel()
	p := parts()
	p.Settings = func() config.Section { return &colliding{} }
	_, err := daemon.LoadConfiguration(p, "", nil)
	want := `worker: is the name of a section that the service has already; call yours something else`
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
