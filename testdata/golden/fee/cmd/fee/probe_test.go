package main

// The probe: this program with another handler and another transport, so that
// a test can have it do what a project's own handler should not.

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// buildProbe builds the probe, once.
var buildProbe = sync.OnceValues(func() (string, error) {
	return buildVariant("probe", map[string]string{
		"internal/wire/wire.go":             "probe/wire/wire.go",
		"internal/transport/probe/probe.go": "probe/transport/probe.go",
		"cmd/" + name + "/handler.go":       "probe/handler/handler.go",
	})
})

// probed is an instance of the probe.
type probed struct{ *instance }

// The variables that tell the probe how its start and its end are to go.
const (
	probeInit = "FEE_PROBE_INIT"
	probeStop = "FEE_PROBE_STOP"
)

// probeConfig is the configuration of a probe, on a free port unless another is
// set. A job is tried once.
const probeConfig = `[daemon]
user = "nobody"
stop_timeout = "1h"
environment = ["` + probeInit + `", "` + probeStop + `"]
[worker]
attempts = 1
timeout = "1h"
[transport.probe]
listen = "127.0.0.1:0"
`

func newProbe(t *testing.T) *probed {
	t.Helper()
	program, err := buildProbe()
	if err != nil {
		t.Fatal(err)
	}
	p := &probed{newInstance(t)}
	p.program = program
	p.writeConfig(probeConfig)
	p.becomeRootIfAlone()
	return p
}

// startSays has the environment tell the probe how its start is to go.
func (p *probed) startSays(how string) {
	p.env = append(p.env, probeInit+"="+how)
}

// send hands the probe a job, and returns where its answer will arrive.
func (p *probed) send(line string) net.Conn {
	p.t.Helper()
	return p.sendTo(p.status().Transports["probe"], line)
}

// sendTo is send for who knows the address already.
func (p *probed) sendTo(address, line string) net.Conn {
	p.t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// answer reads the answer to a job; "" is what it gets that was not done.
func (p *probed) answer(conn net.Conn) string {
	p.t.Helper()
	text, _ := io.ReadAll(conn) // a reset connection has no answer either
	answer, err := strconv.Unquote(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return answer
}

// ask has the probe do a job to its end.
func (p *probed) ask(line string) string {
	p.t.Helper()
	return p.answer(p.send(line))
}

// spawn has a job start a program that goes on for long, and returns its pid.
func (p *probed) spawn() int {
	p.t.Helper()
	pid, err := strconv.Atoi(p.ask("spawn sleep 100"))
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

// untilTold hands the probe a job that ends when finish is called, and waits
// until it is with the handler.
func (p *probed) untilTold() (conn net.Conn, finish func()) {
	p.t.Helper()
	file := filepath.Join(p.dir, "finish")
	if err := os.RemoveAll(file); err != nil {
		p.t.Fatal(err)
	}
	return p.underWay("until " + file), func() {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			p.t.Error(err)
		}
	}
}

// underWay hands the probe a job and waits until it is with the handler.
func (p *probed) underWay(line string) net.Conn {
	p.t.Helper()
	before := p.status().InFlight
	conn := p.send(line)
	p.eventually("the job is under way", func() bool { return p.status().InFlight > before })
	return conn
}
