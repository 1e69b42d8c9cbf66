package main

// The command deadletters, and what the daemon does for it.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/fee/internal/daemon"
	"example.com/fee/internal/deadletters"
	"example.com/fee/internal/leftout"
)

func (i *instance) stateDir() string { return filepath.Join(i.dir, "state") }

// letters opens the dead letters of the service, as another process does.
func (i *instance) letters() *deadletters.Store {
	i.t.Helper()
	if err := os.MkdirAll(i.stateDir(), 0o750); err != nil {
		i.t.Fatal(err)
	}
	store, err := deadletters.Open(i.stateDir())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = store.Close() })
	return store
}

// failed puts messages there as if they had failed for good, and returns their ids.
func (i *instance) failed(messages ...string) []string {
	i.t.Helper()
	store := i.letters()
	for _, m := range messages {
		l := deadletters.Letter{Time: time.Now(), Transport: "probe", Key: "key of " + m, Message: []byte(m), Reason: "no luck", Attempts: 3}
		if err := store.Add(l); err != nil {
			i.t.Fatal(err)
		}
	}
	var ids []string
	for l, err := range store.Letters() {
		if err != nil {
			i.t.Fatal(err)
		}
		ids = append(ids, l.ID)
	}
	return ids[len(ids)-len(messages):]
}

// wantLetters fails the test unless these messages, and no others, are there.
func (i *instance) wantLetters(messages ...string) {
	i.t.Helper()
	var got []string
	for l, err := range i.letters().Letters() {
		if err != nil {
			i.t.Fatal(err)
		}
		got = append(got, string(l.Message))
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", messages) {
		i.t.Errorf("the dead letters are %q, want %q", got, messages)
	}
}

// counts waits until the status tells of as many dead letters: where there is little
// time it tells for a while what it has counted last.
func (i *instance) counts(letters int) {
	i.t.Helper()
	i.eventually(fmt.Sprintf("the status tells of %d dead letters", letters), func() bool { return i.status().Letters == letters })
}

// replayed is what the daemon has said of a replay, as JSON.
func (i *instance) replayed(o outcome) daemon.Replay {
	i.t.Helper()
	var r result
	if err := json.Unmarshal([]byte(o.stdout), &r); err != nil || r.Replay == nil {
		i.t.Fatalf("no result of a replay: %q, %q", o.stdout, o.stderr)
	}
	return *r.Replay
}

func TestDeadLettersUsage(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	for _, args := range []string{"", "nosuch", "list x", "list --limit -1", "show", "show --raw a b", "replay", "replay --all a",
		"drop", "drop --all a", "drop --all --before 24h", "drop --before never", "drop --before -1h"} {
		i.want(2, `deadletters|before`, append([]string{"deadletters"}, strings.Fields(args)...)...)
	}
	i.want(0, `usage: \S+ deadletters list .*\n +\S+ deadletters show `, "help", "deadletters")
	i.want(0, `^\S+: no dead letters\n$`, "deadletters", "list") // and no state directory
	i.want(1, `deadletters: no dead letter has the id abc; dropped no dead letters\n$`, "deadletters", "drop", "abc")
	i.want(7, `deadletters: not running\n$`, "deadletters", "replay", "--all")
	if _, err := os.Stat(i.stateDir()); err == nil {
		t.Error("to look has made a state directory")
	}
}

func TestDeadLettersWithoutDaemon(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	ids := i.failed("one", "two\n\x1b[31m", "three\xff"+strings.Repeat("x", 100))
	list := i.want(0, `\n\S+: 3 dead letters\n$`, "deadletters", "list").stdout
	for n, pattern := range []string{`"one"$`, `"two\\n\\x1b\[31m"$`, `"three\\xffx+…$`} {
		line := strings.Split(list, "\n")[n+1]
		if !regexp.MustCompile(`^` + ids[n] + `  20\S+Z +probe +3 +\d+  no luck +` + pattern).MatchString(line) {
			t.Errorf("line %d: %q", n, line)
		}
	}
	if last := i.want(0, `3 dead letters, of which the last 1 are shown`, "deadletters", "list", "--limit", "1").stdout; !strings.Contains(last, ids[2]) || strings.Contains(last, ids[1]) {
		t.Errorf("the last one is %s", last)
	}
	i.want(0, `^$`, "--quiet", "deadletters", "list")
	var r struct {
		Result  string
		Letters []map[string]any `json:"dead_letters"`
	}
	if err := json.Unmarshal([]byte(i.want(0, ``, "deadletters", "list", "--json").stdout), &r); err != nil || len(r.Letters) != 3 ||
		r.Letters[0]["id"] != ids[0] || r.Letters[2]["size"] != 106.0 || r.Letters[1]["attempts"] != 3.0 {
		t.Errorf("%v, %v", r, err)
	}

	i.want(0, `^id: +`+ids[0]+`\ntime: .*\ntransport: probe\nkey: +key of one\nattempts: +3\nreason: +no luck\nsize: +3 bytes\n\none\n$`,
		"deadletters", "show", ids[0])
	i.want(0, `\n\ntwo\n\\x1b\[31m\n\nid: (.*\n)+.*\|three`, "deadletters", "show", ids[1], ids[2])
	i.want(1, `no dead letter has the id nosuch`, "deadletters", "show", ids[1], "nosuch")
	if o := i.want(0, ``, "deadletters", "show", ids[2], "--raw"); o.stdout != "three\xff"+strings.Repeat("x", 100) {
		t.Errorf("raw: %q", o.stdout)
	}
	i.want(0, `"dead_letters":\[\{"id":"`+ids[2]+`",.*"message_base64":"`, "--json", "deadletters", "show", ids[2])

	i.want(0, `: dropped no dead letters\n$`, "deadletters", "drop", "--before", "24h")
	i.want(1, `: deadletters: no dead letter has the id nosuch; dropped 1 dead letter\n$`, "deadletters", "drop", "nosuch", ids[1])
	i.wantLetters("one", "three\xff"+strings.Repeat("x", 100))
	i.want(0, `: dropped 2 dead letters\n$`, "deadletters", "drop", "--before", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	i.failed("four")
	i.want(0, `"dropped":1`, "deadletters", "drop", "--all", "--json")
	i.want(0, `: no dead letters\n$`, "deadletters", "list")
}

// A line that can't be read is told of, and dropped only for who asks for that.
func TestUnreadableDeadLetters(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.failed("one")
	path := filepath.Join(i.stateDir(), "dead_letters")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, text[:40]...), 0o640); err != nil {
		t.Fatal(err)
	}
	if o := i.want(0, `: 1 dead letter\n$`, "deadletters", "list"); !strings.Contains(o.stderr, "warning: "+path+":2: no dead letter can be read there\n") {
		t.Errorf("list warns %q", o.stderr)
	}
	i.want(0, `dropped 1 dead letter\n`, "deadletters", "drop", "--all")
	i.want(0, `dropped 1 unreadable lines\n`, "deadletters", "drop", "--unreadable")
	i.want(0, `no dead letters\n`, "deadletters", "list")
}

func TestReplay(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	ids := p.failed("run true", "nosuch thing", "run echo", "run :")
	if err := os.RemoveAll(p.stateDir()); err != nil { // the service makes its own
		t.Fatal(err)
	}
	p.start()
	p.want(0, `, 0 failed\n$`, "status")
	p.want(0, `: replayed 0 done\n$`, "deadletters", "replay", "--all")
	p.want(1, `: deadletters: no dead letter has the ids `+ids[0]+`, nosuch; 0 done\n$`, "deadletters", "replay", "nosuch", ids[0])

	ids = p.failed("run true", "nosuch thing", "run echo", "run :")
	p.counts(4)
	p.want(0, `, 4 dead letters\n$`, "status")
	p.want(0, `: replayed 2 done\n$`, "deadletters", "replay", ids[3], ids[0])
	p.wantLetters("nosuch thing", "run echo")
	p.want(1, `: deadletters: 0 done, 1 failed again; no dead letter has the id `+ids[0]+`\n$`, "deadletters", "replay", ids[1], ids[0])
	got := p.replayed(p.want(1, `"error":"1 done, 1 failed again"`, "--json", "deadletters", "replay", "--all"))
	if got.Done != 1 || got.Failed != 1 || got.GivenBack+got.UnderWay+len(got.Unknown) != 0 || got.Stopped != "" {
		t.Errorf("the replay: %+v", got)
	}
	p.wantLetters("nosuch thing")
	p.counts(1)
	p.want(0, `, 1 dead letter\n$`, "status")
	p.want(0, `dropped 1 `, "deadletters", "drop", "--all")
	p.counts(0)
	p.want(0, `failed\n$`, "status")
}

// Many letters go through the pool, a part of them at a time, and through a
// rotation; none is left, and none is handled twice.
func TestReplayMany(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.writeConfig(probeConfig + "[dead_letters]\nfile_size = \"8KiB\"\ntotal_size = \"1MiB\"\n")
	p.becomeRootIfAlone()
	p.start()
	store := p.letters()
	store.Configure(deadletters.Settings{FileSize: 8 << 10, TotalSize: 1 << 30})
	const many = 1000
	for range many {
		if err := store.Add(deadletters.Letter{Message: []byte("until /")}); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := filepath.Glob(filepath.Join(p.stateDir(), "dead_letters.0*")); len(names) < 5 || err != nil {
		t.Fatalf("there are %q, %v: the test is none", names, err)
	}
	p.want(0, fmt.Sprintf(`: replayed %d done\n$`, many), "deadletters", "replay", "--all")
	p.wantLetters()
	p.counts(0)
	if status := p.status(); status.Done != many || status.Failed != 0 {
		t.Errorf("done %d, failed %d", status.Done, status.Failed)
	}
}

// holding is a message that is with the handler until finish is called.
func (p *probed) holding(n int) (message string, finish func()) {
	file := filepath.Join(p.dir, fmt.Sprint("finish", n))
	return "until " + file, func() {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			p.t.Error(err)
		}
	}
}

// What is under way when the time is over, or when the asker has gone, is dropped
// when it is done all the same.
func TestReplayOutlivesItsAsker(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.start()
	held, finish := p.holding(0)
	p.failed("run true", held)
	p.want(1, `: deadletters: not all were tried, the time is over: 1 done, 1 still under way\n$`,
		"deadletters", "replay", "--all", "--timeout", "1s")
	p.want(1, `are being tried again already`, "deadletters", "replay", "--all")
	finish()
	p.eventually("its letter is dropped", func() bool { return p.status().Letters == 0 })

	held, finish = p.holding(1)
	p.failed("run true", held)
	asker := p.command("deadletters", "replay", "--all")
	if err := asker.Start(); err != nil {
		t.Fatal(err)
	}
	p.eventually("one is under way, and the other was dropped", func() bool {
		status := p.status()
		return status.InFlight == 1 && status.Letters == 1
	})
	_ = asker.Process.Kill()
	_ = asker.Wait()
	finish()
	p.eventually("its letter is dropped", func() bool { return p.status().Letters == 0 })
	p.eventually("another replay is possible", func() bool {
		return p.run("deadletters", "replay", "--all").code == 0
	})
}

// What a stop gives back is still a dead letter; what was done before is none.
func TestReplayGivenBack(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.set("stop_timeout", `"300ms"`)
	p.start()
	held, _ := p.holding(0)
	p.failed("run true", held)
	replay := p.background("deadletters", "replay", "--all")
	p.eventually("it is under way", func() bool { return p.status().InFlight == 1 })
	p.want(0, `: stopped`, "stop")
	p.check(<-replay, 1, `: deadletters: .*1 done, 1 given back\n$`, "replay")
	p.wantLetters(held)
	p.start()
	p.counts(1)
	p.want(0, `, 1 dead letter\n`, "status")
}

// A stop ends a replay too: what is under way gets done, and no more are begun with.
func TestStopWhileReplaying(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.start()
	const many = 600
	store := p.letters()
	for range many {
		if err := store.Add(deadletters.Letter{Message: []byte("run sleep 0.05")}); err != nil {
			t.Fatal(err)
		}
	}
	replay := p.background("deadletters", "replay", "--all")
	p.eventually("some are under way", func() bool { return p.status().InFlight > 0 })
	p.want(0, `: stopped`, "stop")
	o := p.check(<-replay, 1, `: deadletters: not all were tried, the service is stopping: \d+ done\n$`, "replay")
	left := 0
	for _, err := range store.Letters() {
		if err != nil {
			t.Fatal(err)
		}
		left++
	}
	if want := fmt.Sprintf(": %d done\n", many-left); left == 0 || !strings.HasSuffix(o.stderr, want) {
		t.Errorf("%d are left, and replay says %q", left, o.stderr)
	}
}

// Pitfall 57: a service that is killed during a replay has lost nothing.
func TestKillWhileReplaying(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	pid := p.start()
	held, finish := p.holding(0)
	p.failed(held)
	replay := p.background("deadletters", "replay", "--all")
	p.eventually("it is under way", func() bool { return p.status().InFlight == 1 })
	p.kill(pid)
	p.check(<-replay, 1, `the result is not known`, "replay")
	p.wantLetters(held)
	finish()
	p.start()
	p.want(0, `replayed 1 done`, "deadletters", "replay", "--all")
	p.wantLetters()
}

// A process that an upgrade has replaced ends what it has under way; nobody tries
// the same letters again meanwhile.
func TestReplayDuringUpgrade(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	before := p.start()
	held, finish := p.holding(0)
	p.failed(held)
	replay := p.background("deadletters", "replay", "--all")
	p.eventually("it is under way", func() bool { return p.status().InFlight == 1 })
	p.upgrade()
	p.want(1, `are being tried again already`, "deadletters", "replay", "--all")
	p.counts(1)
	p.want(0, `, 1 dead letter\n`, "status")
	finish()
	p.check(<-replay, 0, `: replayed 1 done\n$`, "replay")
	p.eventually("the one before has ended", func() bool { return !alive(before) })
	p.wantLetters()
	p.want(0, `replayed 0 done`, "deadletters", "replay", "--all")
}

// The sandbox leaves the service its dead letters.
func TestReplayInSandbox(t *testing.T) {
	t.Parallel()
	p := newProbe(t)
	p.writeConfig(strings.Replace(probeConfig, "[daemon]", "[daemon]\nsandbox = true", 1))
	p.becomeRootIfAlone()
	if o := p.run("start"); strings.Contains(o.stderr, "no Landlock") {
		leftout.Impossible(t, "Landlock in the kernel")
	}
	ids := p.failed("run true", "nosuch")
	p.want(0, `replayed 1 done`, "deadletters", "replay", ids[0])
	p.wantLetters("nosuch")
}

func TestDeadLettersSettings(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start()
	i.set("file_size", `"4KiB"`)
	i.set("total_size", `"8KiB"`)
	i.want(0, `generation 2`, "reload")
	i.set("total_size", `"1KiB"`)
	i.want(6, `:\d+:1: dead_letters\.total_size: must be at least file_size, 4KiB, is 1KiB`, "reload")
}

// Pitfall 13: a service that could not keep what fails for good does not start.
func TestStartWithoutDeadLetters(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start() // makes the directory
	i.want(0, `: stopped`, "stop")
	path := filepath.Join(i.stateDir(), "dead_letters")
	if err := os.Symlink("elsewhere", path); err != nil {
		t.Fatal(err)
	}
	i.want(1, `: start: dead letters `+path+`: is not a regular file`, "start")
	i.want(3, `not running`, "status")
}

// Pitfall 29: what root and the service's user change, the other goes on with; a
// stranger gets nothing, and is told so.
func TestDeadLettersOfUsers(t *testing.T) {
	t.Parallel()
	leftout.Root(t)
	p := newProbe(t)
	p.start()
	program := filepath.Join(p.dir, "program") // where others may run it
	if err := os.Link(p.program, program); err != nil {
		t.Fatal(err)
	}
	as := func(uid uint32, args ...string) outcome {
		cmd := p.command(append([]string{"deadletters"}, args...)...)
		cmd.Path = program
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		return p.finish(cmd)
	}
	state, err := os.Stat(p.stateDir())
	if err != nil {
		t.Fatal(err)
	}
	user := state.Sys().(*syscall.Stat_t).Uid
	if user == 0 {
		t.Fatal("the service runs as root")
	}
	ids := p.failed("run true", "run :", "run echo", "nosuch")
	p.want(0, `dropped 1`, "deadletters", "drop", ids[0])
	p.check(as(user, "list"), 0, `3 dead letters`, "list")
	p.check(as(user, "drop", ids[1]), 0, `dropped 1`, "drop")
	p.want(0, `replayed 1 done`, "deadletters", "replay", ids[2])
	p.wantLetters("nosuch")
	for _, args := range [][]string{{"list"}, {"show", ids[3]}, {"drop", "--all"}, {"replay", "--all"}} {
		p.check(as(12345, args...), 4, `: deadletters: .*permission denied`, args[0])
	}
	entries, err := os.ReadDir(p.stateDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != user {
			t.Errorf("%s does not belong to the service: %v", e.Name(), err)
		}
	}
	p.want(0, `dropped 1`, "deadletters", "drop", "--all")
}
