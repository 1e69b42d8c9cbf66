package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/job/internal/deadletters"
	"example.com/job/internal/transport"
)

// again are messages that are delivered again, each with its body as its ID.
func again(bodies ...string) (all []transport.Message, ms []*message) {
	ms = messages(bodies...)
	for _, m := range ms {
		all = append(all, identified{m, string(m.body), true})
	}
	return all, ms
}

func submitTo(t *testing.T, q transport.Queue, ms []transport.Message) {
	t.Helper()
	if n, err := q.Submit(t.Context(), ms); n != len(ms) || err != nil {
		t.Errorf("Submit took %d of %d, %v", n, len(ms), err)
	}
}

// afterDeaths returns a journal of a process that comes after some which died with
// these messages.
func afterDeaths(t *testing.T, path string, ids ...string) *Journal {
	t.Helper()
	for _, id := range ids {
		j := openJournal(t, path)
		mustBegin(t, j, id)
		die(j)
	}
	return openJournal(t, path)
}

// pitfall 61: a message with which a process has died is handed over alone, and
// when that has happened as often as there may be attempts, not at all.
func TestPoisonThatKills(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := afterDeaths(t, path, "once", "twice", "twice", "thrice", "thrice", "thrice")
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		let := make(chan struct{})
		g := &graveyard{}
		p := startWith(t, Options{Attempts: j, DeadLetters: g}, both{func(ctx context.Context, request []byte) ([]byte, error) {
			r.note(string(request))
			<-let
			return ok(ctx, request)
		}, func(ctx context.Context, requests [][]byte) []Result {
			r.note(fmt.Sprintf("%s", requests))
			return allOK(ctx, requests)
		}}, func(s *Settings) { s.Count, s.Attempts = 1, 3 })
		defer p.Close()
		all, ms := again("first", "a", "once", "b", "twice", "c", "thrice")
		submitTo(t, p.For("t"), all[:1])
		synctest.Wait()
		submitTo(t, p.For("t"), all[1:])
		close(let)
		expect(t, "TRUE", ms[:4]...)
		expect(t, "TRUE", ms[5])
		expect(t, "FALSE: the process ended during 3 attempts with it", ms[4])
		expect(t, "FALSE: the process ended during 4 attempts with it", ms[6])
		if want := "first once [a b c]"; r.String() != want {
			t.Errorf("handled %s, want %s", &r, want)
		}
		if len(g.letters) != 2 || g.letters[0].Attempts != 3 || g.letters[0].Key != "twice" {
			t.Errorf("%+v", g.letters)
		}
		synctest.Wait()
	})
	// What is settled is of no interest any more.
	if got := deaths(j, "once", "twice", "thrice"); got != "once0 twice0 thrice0" {
		t.Error(got)
	}
	if got := contents(t, path); got != "" {
		t.Errorf("the journal holds %q", got)
	}
}

// Pitfall 61: of several messages with which a process has died no two are with the
// handler at once, however many workers there are, also when they failed; others pass
// by meanwhile.
func TestPoisonBesideNoOther(t *testing.T) {
	bad := []string{"bad 0", "bad 1", "bad 2", "bad 3"}
	j := afterDeaths(t, filepath.Join(t.TempDir(), "attempts"), bad...)
	synctest.Test(t, func(t *testing.T) {
		var suspects, most, others, tries atomic.Int32
		p := startWith(t, Options{Attempts: j}, one(func(ctx context.Context, request []byte) ([]byte, error) {
			if !strings.HasPrefix(string(request), "bad") {
				others.Add(1)
				return ok(ctx, request)
			}
			n := suspects.Add(1)
			defer suspects.Add(-1)
			most.Store(max(most.Load(), n))
			time.Sleep(time.Second)
			if tries.Add(1)%2 == 1 {
				return nil, errors.New("not yet")
			}
			return ok(ctx, request)
		}), func(s *Settings) { s.Count, s.Attempts = 8, 5 })
		defer p.Close()
		all, ms := again(append(bad, "good 0", "good 1", "good 2")...)
		submitTo(t, p.For("t"), all)
		synctest.Wait()
		if n, o := suspects.Load(), others.Load(); n != 1 || o != 3 {
			t.Errorf("%d suspects are with the handler, and %d others were", n, o)
		}
		expect(t, "TRUE", ms...)
		if n := most.Load(); n != 1 {
			t.Errorf("%d suspects were with the handler at once", n)
		}
	})
}

// One attempt is no reason to take a message that comes again for poison: its
// connection may have broken. It takes a death that is known.
func TestPoisonWithOneAttempt(t *testing.T) {
	j := afterDeaths(t, filepath.Join(t.TempDir(), "attempts"), "bad")
	p := startWith(t, Options{Attempts: j}, one(ok), func(s *Settings) { s.Attempts = 1 })
	all, ms := again("good", "bad")
	submitTo(t, p.For("t"), all)
	expect(t, "TRUE", ms[0])
	expect(t, "FALSE: the process ended during 2 attempts with it", ms[1])
}

// An attempt is in the journal while it goes on, and not after it, however it
// ends; deaths are known until the message is settled.
func TestPoisonIsNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := afterDeaths(t, path, "dead")
	synctest.Test(t, func(t *testing.T) {
		var noted []string
		results := []error{errors.New("no"), unavailable{}, nil}
		p := startWith(t, Options{Attempts: j}, one(func(context.Context, []byte) ([]byte, error) {
			noted = append(noted, fmt.Sprint(strings.Count(contents(t, path), "+ "), strings.Count(contents(t, path), "- ")))
			err := results[0]
			if results = results[1:]; len(results) == 1 {
				panic("no")
			}
			return nil, err
		}), func(s *Settings) { s.Attempts = 10 })
		defer p.Close()
		all, ms := again("dead")
		submitTo(t, p.For("t"), all)
		expect(t, "", ms...)
		if got, want := fmt.Sprint(noted), "[1 0 2 1 3 2]"; got != want {
			t.Errorf("attempts that began and ended: %s, want %s", got, want)
		}
	})
}

// Neither a message that comes for the first time costs a line, nor one that can't
// be told from others.
func TestPoisonIsNotedOnlyWhenDeliveredAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	p := startWith(t, Options{Attempts: j}, one(func(context.Context, []byte) ([]byte, error) {
		return []byte(contents(t, path)), nil
	}), nil)
	ms := messages("new", "nameless", "plain")
	for i, m := range []transport.Message{identified{ms[0], "7", false}, identified{ms[1], "", true}, ms[2]} {
		submitTo(t, p.For(fmt.Sprint(i)), []transport.Message{m})
	}
	expect(t, "", ms...)
}

// A handler that still runs when the service ends is not what ends it.
func TestPoisonAndClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		p := startWith(t, Options{Attempts: j}, one(func(context.Context, []byte) ([]byte, error) {
			<-let
			return nil, nil
		}), nil)
		all, ms := again("deaf")
		submitTo(t, p.For("t"), all)
		synctest.Wait()
		if contents(t, path) == "" {
			t.Error("the attempt is not in the journal")
		}
		p.Close()
		expect(t, "given back", ms...)
		if got := contents(t, path); got != "" {
			t.Errorf("the journal holds %q", got)
		}
		close(let)
	})
	die(j)
	if got := deaths(openJournal(t, path), "deaf"); got != "deaf0" {
		t.Error(got)
	}
}

// Without a journal that can be written to, the work goes on, and it is told once.
func TestPoisonThatCantBeNoted(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, filepath.Join(dir, "attempts"))
	p := startWith(t, Options{Attempts: j}, one(ok), nil)
	log := logTo(p)
	_ = j.file.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	all, ms := again("a", "b", "c")
	submitTo(t, p.For("t"), all)
	expect(t, "TRUE", ms...)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	all, ms = again("d")
	submitTo(t, p.For("t"), all)
	expect(t, "TRUE", ms...)
	p.Close()
	if got := log.String(); strings.Count(got, "can't be noted") != 1 || strings.Count(got, "noted again") != 1 {
		t.Errorf("logged\n%s", got)
	}
}

// The test runs itself as a process that dies of a message.
const poisoned = "TEST_POISONED_PROCESS"

// pitfall 61: a message that kills the process, which is started again and again,
// is set aside, and all others are done; it took no other with it after the first
// time that it was alone.
func TestPoisonedProcess(t *testing.T) {
	if dir := os.Getenv(poisoned); dir != "" {
		poisonedProcess(t, dir)
		return
	}
	dir := t.TempDir()
	const attempts = 3
	for run := 1; ; run++ {
		child := exec.Command(os.Args[0], "-test.run=^TestPoisonedProcess$")
		child.Env = append(os.Environ(), poisoned+"="+dir)
		output, err := child.CombinedOutput()
		if err == nil {
			if run != attempts+1 {
				t.Errorf("the process died %d times, want %d", run-1, attempts)
			}
			break
		}
		status, isStatus := child.ProcessState.Sys().(syscall.WaitStatus)
		if !isStatus || status.Signal() != syscall.SIGKILL || run > attempts {
			t.Fatalf("run %d: %v\n%s", run, err, output)
		}
	}
	var want []string
	for i := range 20 {
		if i != 13 {
			want = append(want, fmt.Sprintf("%d TRUE", i))
		}
	}
	want = append(want, "13 a letter after 3 attempts", "13 FALSE")
	got := strings.Split(strings.TrimSpace(contents(t, filepath.Join(dir, "done"))), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("done: %q, want %q", got, want)
	}
}

// poisonedProcess is delivered what was not settled by those before it.
func poisonedProcess(t *testing.T, dir string) {
	path := filepath.Join(dir, "done")
	before, err := os.ReadFile(path)
	isAgain := err == nil
	done, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = done.Close() }()
	g := &graveyard{added: func(l deadletters.Letter) {
		_, _ = fmt.Fprintf(done, "%s a letter after %d attempts\n", l.Message, l.Attempts)
	}}
	swallow := func(requests ...[]byte) {
		for _, request := range requests {
			if string(request) == "13" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}
	}
	p := startWith(t, Options{Attempts: openJournal(t, filepath.Join(dir, "attempts")), DeadLetters: g},
		both{func(ctx context.Context, request []byte) ([]byte, error) {
			swallow(request)
			return ok(ctx, request)
		}, func(ctx context.Context, requests [][]byte) []Result {
			swallow(requests...)
			return allOK(ctx, requests)
		}}, func(s *Settings) { s.Count, s.Attempts = 1, 3 })
	var all []transport.Message
	var ms []*message
	for _, m := range numbered(20) {
		if !strings.Contains("\n"+string(before), fmt.Sprintf("\n%s ", m.body)) {
			all, ms = append(all, written{identified{m, string(m.body), isAgain}, done}), append(ms, m)
		}
	}
	submitTo(t, p.For("t"), all)
	for _, m := range ms {
		<-m.over
	}
	p.Close()
}

// A written message leaves a line when it is settled.
type written struct {
	identified
	file *os.File
}

func (m written) Settle(reply []byte, err error) {
	_, _ = fmt.Fprintf(m.file, "%s %s\n", m.body, reply)
	m.identified.Settle(reply, err)
}
