package main

// Pitfalls 58 to 60, from outside: what becomes of messages that fail.

import (
	"strings"
	"sync"
	"testing"
)

// askMany has the probe do jobs, some at a time, and returns their answers; "" is
// that of one that was not done.
func (p *probed) askMany(lines []string) []string {
	p.t.Helper()
	answers := make([]string, len(lines))
	address := p.status().Transports["probe"]
	slots := make(chan struct{}, 32)
	var group sync.WaitGroup
	for n, line := range lines {
		slots <- struct{}{}
		group.Go(func() {
			answers[n] = p.answer(p.sendTo(address, line))
			<-slots
		})
	}
	group.Wait()
	return answers
}

// jobs are n lines that the probe can do, and does at once.
func jobs(n int) []string { return strings.Split(strings.Repeat("threads 0\n", n-1)+"threads 0", "\n") }

// Pitfall 60: of a thousand messages one can't be handled. It is kept whole, with
// the reason and the number of attempts, and the others are done beside it.
func TestPoison(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.set("attempts", "3")
	p.start()
	lines := jobs(1000)
	lines[300] = "nosuch thing, whole"
	for n, answer := range p.askMany(lines) {
		if want := map[bool]string{true: "", false: "done"}[n == 300]; answer != want {
			t.Errorf("%q was answered %q, want %q", lines[n], answer, want)
		}
	}
	if s := p.status(); s.Done != 999 || s.Failed != 1 {
		t.Errorf("%d done, %d failed; want 999, 1", s.Done, s.Failed)
	}
	p.counts(1)
	for l, err := range p.letters().Letters() {
		if err != nil || string(l.Message) != lines[300] || l.Attempts != 3 || l.Transport != "probe" ||
			l.Reason != `the probe does not know "nosuch"` {
			t.Errorf("the dead letter is %+v, %v", l, err)
		}
	}
	p.wantLetters(lines[300])
}

// Pitfall 59: a thousand panics are a thousand messages that failed, and leave the
// pool as it was.
func TestPanics(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.writeConfig(strings.Replace(probeConfig, "[worker]\n", "[worker]\ncount = 4\n", 1))
	p.start()
	panics := strings.Split(strings.TrimSuffix(strings.Repeat("panic\n", 1000), "\n"), "\n")
	for n, answer := range append(p.askMany(panics), p.askMany(jobs(100))...) {
		if want := map[bool]string{true: "", false: "done"}[n < 1000]; answer != want {
			t.Fatalf("job %d was answered %q, want %q", n, answer, want)
		}
	}
	if s := p.status(); s.Workers != 4 || s.Done != 100 || s.Failed != 1000 {
		t.Errorf("%d workers, %d done, %d failed; want 4, 100, 1000", s.Workers, s.Done, s.Failed)
	}
	p.counts(1000)
	if log := p.log(); strings.Count(log, "the handler panicked") != 1000 || !strings.Contains(log, "carryOut") {
		t.Error("the log has not each panic, with its stack")
	}
}

// Pitfalls 58 and 62: a handler that does not listen to its context can't hold up
// a stop, and its message goes back to its sender: it is neither done nor dead.
func TestHandlerThatHangs(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.set("stop_timeout", `"300ms"`)
	p.start()
	conn := p.underWay("hang")
	p.want(0, `: stopped \(pid \d+\)\n$`, "stop")
	if answer := p.answer(conn); answer != "" {
		t.Errorf("what hung was answered %q", answer)
	}
	if log := p.log(); !strings.Contains(log, "the time to drain is over") {
		t.Errorf("the log does not tell why it ended")
	}
	p.wantLetters()
}
