package fifo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

// settle is a queue that settles each message at once, and notes it.
type settle struct {
	mu   sync.Mutex
	came []string
}

func (s *settle) Submit(_ context.Context, messages []transport.Message) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		s.came = append(s.came, string(m.Body()))
		m.Settle(nil, nil)
	}
	return len(messages), nil
}

// sorted returns what came so far, in order.
func (s *settle) sorted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.came))
}

// served is a transport that serves.
type served struct {
	*Transport
	*transporttest.Serving
}

func newTransport(t *testing.T, stateDir string, change func(c *Config)) *Transport {
	t.Helper()
	c := Default().(*Config)
	if change != nil {
		change(c)
	}
	made, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), StateDir: stateDir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := made.Close(); err != nil {
			t.Error(err)
		}
	})
	return made.(*Transport)
}

func serve(t *testing.T, tr *Transport, q transport.Queue) *served {
	t.Helper()
	return &served{tr, transporttest.Serve(t, tr, q)}
}

func fifoIn(dir string) string { return filepath.Join(dir, "exampled.fifo") }

// write writes to the fifo as a program does that opens and closes it.
func write(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Error(err)
	}
}

// left are the files of what was kept.
func left(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "fifo.left*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Writers come and go, and the service reads on.
func TestWriters(t *testing.T) {
	dir := t.TempDir()
	q := &settle{}
	s := serve(t, newTransport(t, dir, nil), q)
	var want []string
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for n := range 50 {
				write(t, fifoIn(dir), fmt.Sprintf("%d-%02d-%s\n", i, n, strings.Repeat("x", n*n%999)))
			}
		})
		for n := range 50 {
			want = append(want, fmt.Sprintf("%d-%02d-%s", i, n, strings.Repeat("x", n*n%999)))
		}
	}
	writers.Wait()
	s.Stop()
	if got := q.sorted(); !slices.Equal(got, want) {
		t.Errorf("%d lines came, want %d", len(got), len(want))
	}
	if got := s.Status(); got != "stopped, 400 lines, 0 too long" {
		t.Error(got)
	}
	if names := left(t, dir); names != nil {
		t.Errorf("left behind: %q", names)
	}
	if info, err := os.Lstat(fifoIn(dir)); err != nil || info.Mode() != os.ModeNamedPipe|0o620 {
		t.Errorf("the fifo: %v, %v", info, err)
	}
}

func TestLines(t *testing.T) {
	dir := t.TempDir()
	q := make(transporttest.Queue)
	s := serve(t, newTransport(t, dir, func(c *Config) { c.MaxMessage = 10 }), q)
	for _, part := range []string{"one\ntwo\r\n\nth", "r", "ee\n", "0123456789\n", "0123456789\r\n",
		"01234567890\n", strings.Repeat("z", 5000), strings.Repeat("z", 5000) + "\nfour\n"} {
		write(t, fifoIn(dir), part)
	}
	q.Want(t, "one", "two", "", "three", "0123456789", "0123456789", "four")
	transporttest.Poll(t, "the lines are counted", func() bool { return s.Status() == "reading "+fifoIn(dir)+", 7 lines, 2 too long" })
	s.Stop()
}

// Lines are cut the same way wherever reads end, and no buffer grows with a line
// that is too long.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\n0123456789\n01234567890\nend"), uint8(3))
	f.Add(bytes.Repeat([]byte("x"), 100), uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, step uint8) {
		const limit = 10
		var want []string
		dropped := 0
		end := bytes.LastIndexByte(text, '\n') + 1
		for line := range bytes.Lines(text[:end]) {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			if len(line) > limit {
				dropped++
				continue
			}
			want = append(want, string(line))
		}
		var l lines
		var got []string
		for chunk := range slices.Chunk(text, int(step)+1) {
			l.add(chunk)
			for _, line := range l.cut(limit) {
				got = append(got, string(line))
			}
			if len(l.buffer) > limit+1 {
				t.Fatalf("%d bytes are held", len(l.buffer))
			}
		}
		if !slices.Equal(got, want) || l.dropped != dropped {
			t.Errorf("got %q and %d dropped, want %q and %d", got, l.dropped, want, dropped)
		}
	})
}

// Pitfall 66: while the workers have no room nothing is read, and writers wait.
func TestBackPressure(t *testing.T) {
	dir := t.TempDir()
	q := make(transporttest.Queue)
	serve(t, newTransport(t, dir, nil), q)
	const total = 3000
	line := strings.Repeat("x", 999) + "\n"
	var written atomic.Int64
	go func() {
		file, err := os.OpenFile(fifoIn(dir), os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = file.Close() }()
		for range total {
			if _, err := file.WriteString(line); err != nil {
				t.Error(err)
				return
			}
			written.Add(1)
		}
	}()
	last, since := int64(-1), 0
	transporttest.Poll(t, "the writer waits", func() bool {
		if n := written.Load(); n != last {
			last, since = n, 0
		} else {
			since++
		}
		return since == 50
	})
	if last > 300 { // a read of 64 KiB, twice, and a pipe
		t.Errorf("%d lines were taken that the queue has no room for", last)
	}
	for range total {
		q.Take(t).Settle(nil, nil)
	}
}

// What was read and not handled when the service stops, and what is still in the
// pipe, is handled by the next one; what is settled is not.
func TestStopKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	q := make(transporttest.Queue)
	s := serve(t, newTransport(t, dir, nil), q)
	write(t, fifoIn(dir), "one\ntwo\nthree\n")
	one, two := q.Take(t), q.Take(t) // and the third waits for room
	write(t, fifoIn(dir), "four\nfive\n")
	s.Cancel()
	transporttest.Poll(t, "reading has ended", func() bool { return strings.HasPrefix(s.Status(), "stopped") })
	if s.Ended() {
		t.Error("Serve does not wait for what was taken")
	}
	one.Settle(nil, nil)
	two.Settle(nil, transport.ErrStopped)
	s.Wait()
	names := left(t, dir)
	if len(names) != 1 {
		t.Fatalf("kept in %q", names)
	}
	if info, err := os.Stat(names[0]); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}

	next := make(transporttest.Queue)
	s = serve(t, newTransport(t, dir, nil), next)
	write(t, fifoIn(dir), "six\n")
	var got []string
	var held []transport.Message
	for range 5 {
		m := next.Take(t)
		got = append(got, string(m.Body()))
		held = append(held, m)
	}
	if slices.Sort(got); !slices.Equal(got, []string{"five", "four", "six", "three", "two"}) {
		t.Errorf("the next one gets %q", got)
	}
	// Not before all of them are safe may the file go.
	for _, m := range held[1:] {
		m.Settle(nil, nil)
	}
	if now := left(t, dir); string(held[0].Body()) != "six" && !slices.Equal(now, names) {
		t.Errorf("a line is under way, and the file is gone: %q", now)
	}
	held[0].Settle(nil, nil)
	transporttest.Poll(t, "the file is gone", func() bool { return left(t, dir) == nil })
	s.Stop()
}

// Who has taken over what was kept has it alone, and a process that is killed leaves
// it to the next one.
func TestLeftIsLocked(t *testing.T) {
	dir := t.TempDir()
	for _, all := range [][][]byte{{[]byte("one"), nil, []byte("two")}, {[]byte("three")}, nil} {
		if err := keep(dir, all); err != nil {
			t.Fatal(err)
		}
	}
	take := func() (all []*leftover) {
		all, err := takeLeft(dir)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	first := take()
	if got := fmt.Sprintf("%q %q", first[0].lines, first[1].lines); len(first) != 2 || got != `["one" "" "two"] ["three"]` {
		t.Fatalf("kept were %s", got)
	}
	if other := take(); other != nil {
		t.Error("two have the same lines")
	}
	_ = first[0].file.Close() // as the end of the process does
	next := take()
	if len(next) != 1 || len(next[0].lines) != 3 {
		t.Fatalf("%d are left to the next process", len(next))
	}
	if err := errors.Join(next[0].remove(), first[1].remove()); err != nil {
		t.Error(err)
	}
	if names := left(t, dir); names != nil {
		t.Errorf("left behind: %q", names)
	}
}

// In a handover no line is lost, taken twice or cut in two, although both have the
// fifo open and it is written to all the time.
func TestHandover(t *testing.T) {
	dir := t.TempDir()
	all := &settle{}
	present := serve(t, newTransport(t, dir, nil), all)
	const writers, each = 4, 500
	var writing sync.WaitGroup
	var want []string
	for i := range writers {
		writing.Go(func() {
			file, err := os.OpenFile(fifoIn(dir), os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = file.Close() }()
			for n := range each {
				line := fmt.Sprintf("%d-%03d-%s\n", i, n, strings.Repeat("x", n%700))
				if _, err := file.WriteString(line); err != nil {
					t.Error(err)
				}
			}
		})
		for n := range each {
			want = append(want, fmt.Sprintf("%d-%03d-%s", i, n, strings.Repeat("x", n%700)))
		}
	}
	for range 20 {
		next := serve(t, newTransport(t, dir, nil), all)
		present.Retire()
		present.Wait()
		present = next
	}
	writing.Wait()
	present.Stop()
	if got := all.sorted(); !slices.Equal(got, want) {
		t.Errorf("%d lines came, want %d", len(got), len(want))
	}
	if names := left(t, dir); names != nil {
		t.Errorf("left behind: %q", names)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	env := transport.Env{Log: slog.New(slog.DiscardHandler), StateDir: dir}
	open := func(path string) error {
		c := Default().(*Config)
		c.Path = config.Path(path)
		tr, err := c.New(env)
		if err == nil {
			_ = tr.Close()
		}
		return err
	}
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file:                               "is no fifo; move it away",
		link:                               "open the fifo: ",
		filepath.Join(dir, "none", "fifo"): "make the fifo ",
		dir:                                "open the fifo: ",
	} {
		if err := open(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o644 {
		t.Errorf("the mode of a file became %v, %v", info.Mode(), err)
	}
}

func TestMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	dir := t.TempDir()
	newTransport(t, dir, func(c *Config) { c.Mode = 0o660 })
	tr := newTransport(t, dir, func(c *Config) { c.Mode = 0o622 }) // as an operator changes it
	mode := func() os.FileMode {
		info, err := os.Stat(fifoIn(dir))
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if got := mode(); got != 0o622 {
		t.Errorf("the mode is %o", got)
	}
	to := *tr.settings
	to.Mode = 0o640
	change, err := tr.Reload(&to)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if got := mode(); got != 0o640 {
		t.Errorf("after the reload the mode is %o", got)
	}
}

// Another path is read as of the change; what is in the fifo before is read too. One
// that was removed is told of, and made again.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	q := &settle{}
	tr := newTransport(t, dir, nil)
	s := serve(t, tr, q)
	write(t, fifoIn(dir), "one\n")
	to := *tr.settings
	other := filepath.Join(dir, "other")
	to.Path = config.Path(other)
	for _, commit := range []bool{false, true} {
		change, err := s.Reload(&to)
		if err != nil {
			t.Fatal(err)
		}
		if !commit {
			change.Abort()
			continue
		}
		write(t, fifoIn(dir), "two\n")
		change.Commit()
	}
	write(t, other, "three\n")
	transporttest.Poll(t, "all lines", func() bool { return slices.Equal(q.sorted(), []string{"one", "three", "two"}) })
	transporttest.Poll(t, "the fifo before is closed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.open) == 1
	})

	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if got := s.Status(); !strings.Contains(got, "was removed") {
		t.Error(got)
	}
	change, err := s.Reload(&to)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	write(t, other, "four\n")
	transporttest.Poll(t, "the line", func() bool { return slices.Contains(q.sorted(), "four") })

	to.Path = config.Path(dir)
	if _, err := s.Reload(&to); err == nil {
		t.Error("a folder was taken for a fifo")
	}
	s.Stop()
	if _, err := s.Reload(&to); !errors.Is(err, transport.ErrStopped) {
		t.Errorf("Reload after the end: %v", err)
	}
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	q := make(transporttest.Queue)
	s := serve(t, newTransport(t, dir, nil), q)
	write(t, fifoIn(dir), "one\n")
	m := q.Take(t)
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	s.Wait()
	m.Settle(nil, nil) // too late, and no harm
	if err := s.Serve(t.Context(), q); err != nil {
		t.Error(err)
	}
	idle := newTransport(t, dir, nil)
	idle.Retire()
	if err := idle.Serve(t.Context(), q); err != nil {
		t.Error(err)
	}
}

// Nothing is left behind by many lives.
func TestLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	before := runtime.NumGoroutine()
	for range 50 {
		q := &settle{}
		s := serve(t, newTransport(t, dir, nil), q)
		write(t, fifoIn(dir), "x\n")
		s.Stop()
		if n := len(q.sorted()) + len(left(t, dir)); n != 1 {
			t.Fatalf("%d lines were handled or kept, want 1", n)
		}
		for _, name := range left(t, dir) {
			_ = os.Remove(name)
		}
	}
	transporttest.Poll(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}

// What can't be kept is an error that says how much is lost.
func TestCannotKeep(t *testing.T) {
	dir := t.TempDir()
	q := make(transporttest.Queue)
	tr := newTransport(t, dir, nil)
	s := serve(t, tr, q)
	write(t, fifoIn(dir), "one\n")
	m := q.Take(t)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.Cancel()
	m.Settle(nil, transport.ErrStopped)
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "1 lines that were read, and not handled, are lost") {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	var got []string
	report := func(key, reason string) { got = append(got, key+" "+reason) }
	Default().Validate(report)
	if got != nil {
		t.Errorf("the defaults: %q", got)
	}
	(&Config{Mode: 0o755}).Validate(report)
	(&Config{Mode: 0o060, MaxMessage: 2 << 30}).Validate(report)
	want := []string{
		`mode must let the owner read and write and nobody execute, such as "0620", is "0755"`,
		"max_message must be from 1B to 1GiB, is 0B",
		`mode must let the owner read and write and nobody execute, such as "0620", is "0060"`,
		"max_message must be from 1B to 1GiB, is 2GiB",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
