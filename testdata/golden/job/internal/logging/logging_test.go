package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/job/internal/config"
	"example.com/job/internal/leftout"
)

// helperVariable makes the test binary a program that logs to standard error.
const helperVariable = "LOGGING_TEST_STDERR"

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		logToStandardError()
		return
	}
	os.Exit(leftout.Main(m))
}

// open opens a log in a directory of its own.
func open(t testing.TB, settings Settings) (l *Log, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "test.log")
	l, err := Open(settings, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, file
}

// lines returns the lines of the files, in order.
func lines(t testing.TB, files ...string) []string {
	t.Helper()
	var all []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, slices.Collect(strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n"))...)
	}
	return all
}

func matches(t *testing.T, got, pattern string) {
	t.Helper()
	if !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
		t.Errorf("the log says %q, want a match of %s", got, pattern)
	}
}

func TestSettings(t *testing.T) {
	tests := []struct {
		settings Settings
		want     string
	}{
		{*Default(), ""},
		{Settings{Level: "debug", Format: "json"}, ""},
		{Settings{Level: "warn", Format: "text"}, ""},
		{Settings{Level: "error", Format: "text"}, ""},
		{Settings{Level: "INFO", Format: "text"}, `level: must be debug, info, warn or error, is "INFO"`},
		{Settings{}, `level: must be debug, info, warn or error, is ""; format: must be text or json, is ""`},
		{Settings{Level: "info", Format: "xml"}, `format: must be text or json, is "xml"`},
	}
	for _, test := range tests {
		var got []string
		test.settings.Validate(func(key, reason string) { got = append(got, key+": "+reason) })
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%+v: %v, want %q", test.settings, got, test.want)
		}
		_, err := Open(test.settings, os.DevNull)
		if (err == nil) != (test.want == "") {
			t.Errorf("%+v: Open says %v", test.settings, err)
		}
	}
	var _ config.Section = Default()
}

func TestFormats(t *testing.T) {
	const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)`
	l, file := open(t, Settings{Level: "warn", Format: "text"})
	derived := l.Logger().With("a", 1).WithGroup("g").With("b", "x y")
	derived.Info("not logged")
	derived.Warn("two\nlines", "c", 2)

	commit, _, err := l.Prepare(Settings{Level: "debug", Format: "json"}, file)
	if err != nil {
		t.Fatal(err)
	}
	derived.Debug("not yet")
	commit()
	derived.Debug("now", "c", 3)
	l.Logger().Info("plain")

	got := lines(t, file)
	if len(got) != 3 {
		t.Fatalf("the log has %d lines, want 3: %q", len(got), got)
	}
	matches(t, got[0], `time=`+stamp+` level=WARN msg="two\\nlines" a=1 g\.b="x y" g\.c=2`)
	matches(t, got[1], `{"time":"[^"]+","level":"DEBUG","msg":"now","a":1,"g":{"b":"x y","c":3}}`)
	matches(t, got[2], `{"time":"[^"]+","level":"INFO","msg":"plain"}`)
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "test.log")
	if err := os.WriteFile(file, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(*Default(), file)
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("after")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	got := lines(t, file)
	if len(got) != 2 || got[0] != "before" {
		t.Errorf("the log was not appended to: %q", got)
	}

	l, created := open(t, *Default())
	info, err := os.Stat(created)
	if err != nil {
		t.Fatal(err)
	}
	umask := syscall.Umask(0)
	syscall.Umask(umask)
	if want := fs.FileMode(0o640 &^ umask); info.Mode() != want {
		t.Errorf("the mode is %v, want %v", info.Mode(), want)
	}
	if l.File().Name() != created {
		t.Errorf("the file is %s, want %s", l.File().Name(), created)
	}
}

func TestOpenImpossible(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"directory":             dir,
		"no such directory":     filepath.Join(dir, "none", "test.log"),
		"pipe without a reader": pipe,
	} {
		if l, err := Open(*Default(), file); err == nil {
			t.Errorf("%s: opened", name)
			_ = l.Close()
		} else if !strings.Contains(err.Error(), file) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
}

// pitfall 29: a symbolic link that someone put in the place of the log.
func TestSymbolicLink(t *testing.T) {
	l, file := open(t, *Default())
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("untouched\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	moved := file + ".1"
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, file); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("Reopen says %v, want an error about the symbolic link", err)
	}
	if other, err := Open(*Default(), file); err == nil {
		t.Error("Open followed the symbolic link")
		_ = other.Close()
	}
	l.Logger().Info("where to")
	if got := lines(t, victim); !slices.Equal(got, []string{"untouched"}) {
		t.Errorf("the target of the symbolic link has %q", got)
	}
	if got := lines(t, moved); len(got) != 1 || !strings.Contains(got[0], "where to") {
		t.Errorf("the old log, which stays in use, has %q", got)
	}
}

// pitfall 46
func TestReopenUnderLoad(t *testing.T) {
	const writers, perWriter, rotations = 4, 2500, 20
	l, file := open(t, *Default())
	var written atomic.Int64
	var group sync.WaitGroup
	for writer := range writers {
		log := l.Logger().With("writer", writer)
		group.Go(func() {
			for number := range perWriter {
				log.Info("line", "number", number, "end", "END")
				written.Add(1)
			}
		})
	}
	var files []string
	for rotation := range rotations {
		for written.Load() < int64(rotation*writers*perWriter/rotations) {
			runtime.Gosched()
		}
		moved := fmt.Sprintf("%s.%d", file, rotation)
		if err := os.Rename(file, moved); err != nil {
			t.Fatal(err)
		}
		files = append(files, moved)
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		checkNoDescriptor(t, moved)
	}
	group.Wait()
	files = append(files, file)

	pattern := regexp.MustCompile(`^time=\S+ level=INFO msg=line writer=(\d) number=(\d+) end=END$`)
	next := make([]int, writers)
	for _, line := range lines(t, files...) {
		if line == "" {
			continue // a file that got no line
		}
		match := pattern.FindStringSubmatch(line)
		if match == nil {
			t.Fatalf("torn line %q", line)
		}
		writer, _ := strconv.Atoi(match[1])
		if number, _ := strconv.Atoi(match[2]); number != next[writer] {
			t.Fatalf("line %d of writer %d follows %d", number, writer, next[writer]-1)
		}
		next[writer]++
	}
	for writer, n := range next {
		if n != perWriter {
			t.Errorf("writer %d has %d lines, want %d", writer, n, perWriter)
		}
	}
	if n := l.Dropped(); n != 0 {
		t.Errorf("%d lines were dropped", n)
	}
}

// checkNoDescriptor fails if this process has the file open; without /proc it
// can't tell.
func checkNoDescriptor(t *testing.T, file string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if name, _ := os.Readlink("/proc/self/fd/" + entry.Name()); name == file {
			t.Errorf("%s is still open as descriptor %s", file, entry.Name())
		}
	}
}

// pitfall 47
func TestTruncated(t *testing.T) {
	l, file := open(t, *Default())
	l.Logger().Info("before")
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("after")
	if got := lines(t, file); len(got) != 1 || !strings.HasPrefix(got[0], "time=") {
		t.Errorf("after truncation the log has %q", got)
	}
}

// pitfall 48: a full disk, and then a place with room.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		leftout.Impossible(t, "/dev/full")
	}
	l, err := Open(*Default(), "/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for range 10 {
		l.Logger().Info("no room")
	}
	if n := l.Dropped(); n != 10 {
		t.Errorf("%d lines were dropped, want 10", n)
	}

	file := filepath.Join(t.TempDir(), "test.log")
	commit, _, err := l.Prepare(*Default(), file)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	l.Logger().Info("first")
	l.Logger().Info("second")
	got := lines(t, file)
	if len(got) != 3 {
		t.Fatalf("the log has %d lines, want 3: %q", len(got), got)
	}
	matches(t, got[0], `time=\S+ level=WARN msg="lines of the log could not be written" dropped=10`)
	matches(t, got[1], `time=\S+ level=INFO msg=first`)
	matches(t, got[2], `time=\S+ level=INFO msg=second`)
	if n := l.Dropped(); n != 10 {
		t.Errorf("%d lines were dropped, want still 10", n)
	}
}

// A line that breaks off where the room ends takes nothing with it of what
// comes later. The limit of a file's size stands for the full disk.
func TestRoomForHalfALine(t *testing.T) {
	l, file := open(t, *Default())
	l.Logger().Info("whole")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := old
	set(&limit.Cur, info.Size()+10)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("broken off")
	l.Logger().Info("lost")
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("last")

	got := lines(t, file)
	if len(got) != 4 {
		t.Fatalf("the log has %d lines, want 4: %q", len(got), got)
	}
	matches(t, got[0], `time=\S+ level=INFO msg=whole`)
	matches(t, got[1], `time=\d{4}-`)
	matches(t, got[2], `time=\S+ level=WARN msg="lines of the log could not be written" dropped=2`)
	matches(t, got[3], `time=\S+ level=INFO msg=last`)
}

// set assigns to the field of a limit, whose type differs between systems.
func set[T int64 | uint64](field *T, n int64) { *field = T(n) }

// pitfall 48: the reader of the pipe behind standard error goes away.
func TestStandardErrorClosed(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), helperVariable+"=1")
	var stdout bytes.Buffer
	command.Stdout = &stdout
	pipe, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1000)
	n, err := pipe.Read(first)
	if err != nil {
		t.Error(err)
	}
	matches(t, string(first[:n]), `time=\S+ level=INFO msg=first\n`)
	_ = pipe.Close()
	_ = stdin.Close()
	if err := command.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
	if got, want := stdout.String(), "dropped 100\n"; got != want {
		t.Errorf("the program says %q, want %q", got, want)
	}
}

// logToStandardError logs a line, and more once its standard input ends.
func logToStandardError() {
	l, err := Open(*Default(), "")
	if err != nil {
		panic(err)
	}
	l.Logger().Info("first")
	_, _ = os.Stdin.Read(make([]byte, 1))
	for range 100 {
		l.Logger().Info("further")
	}
	fmt.Println("dropped", l.Dropped())
}

// pitfall 48: the reader is there and does not read.
func TestReaderStalls(t *testing.T) {
	const total = 5000 // far more than a pipe holds
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	l, _ := open(t, *Default())
	to := newTarget(writer, int(writer.Fd()))
	to.patience = time.Millisecond
	l.swap(to, 0)
	for number := range total {
		l.Logger().Info("line", "number", number)
	}
	dropped := l.Dropped()
	if dropped == 0 {
		t.Fatal("nothing was dropped")
	}

	// The reader takes something, and the log is there again.
	held := make([]byte, 16<<10)
	n, err := reader.Read(held)
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("after")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(reader)
	if err != nil {
		t.Error(err)
	}
	text := string(held[:n]) + string(rest)
	if n := strings.Count(text, "msg=line "); int64(n)+dropped != total {
		t.Errorf("%d lines arrived and %d were dropped, of %d", n, dropped, total)
	}
	matches(t, text, `(?s).*level=WARN msg="lines of the log could not be written" dropped=`+strconv.FormatInt(dropped, 10)+`\ntime=\S+ level=INFO msg=after\n`)
	if n := l.Dropped(); n != dropped {
		t.Errorf("%d lines were dropped, want still %d", n, dropped)
	}
}

// A line longer than a pipe takes at once arrives whole.
func TestLongLine(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, *Default())
	l.swap(newTarget(writer, int(writer.Fd())), 0)
	long := strings.Repeat("x", 1<<20)
	arrived := make(chan int)
	go func() {
		var b bytes.Buffer
		_, _ = b.ReadFrom(reader)
		arrived <- strings.Count(b.String(), "x")
	}()
	l.Logger().Info(long)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if n := <-arrived; n != len(long) {
		t.Errorf("%d letters arrived, want %d; dropped %d", n, len(long), l.Dropped())
	}
}

func TestReopenFails(t *testing.T) {
	l, file := open(t, *Default())
	moved := file + ".1"
	if err := os.Rename(file, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	l.OnReopen(func(*os.File) { t.Error("OnReopen was told of a file that was not opened") })
	if err := l.Reopen(); err == nil {
		t.Error("Reopen opened a directory")
	}
	l.Logger().Info("goes on")
	if got := lines(t, moved); len(got) != 1 || !strings.Contains(got[0], "goes on") {
		t.Errorf("the old log has %q", got)
	}
}

func TestPrepare(t *testing.T) {
	l, first := open(t, *Default())
	second := filepath.Join(filepath.Dir(first), "second.log")
	var seen []string
	l.OnReopen(func(file *os.File) {
		seen = append(seen, file.Name())
		if info, err := l.output.current().file.Stat(); err != nil || info.Name() != filepath.Base(file.Name()) {
			t.Errorf("in OnReopen the file is %v (%v), want %s", info, err, file.Name())
		}
	})

	json := Settings{Level: "info", Format: "json"}
	_, abort, err := l.Prepare(json, second)
	if err != nil {
		t.Fatal(err)
	}
	abort()
	checkNoDescriptor(t, second)
	l.Logger().Info("one")

	if _, _, err := l.Prepare(json, filepath.Dir(first)); err == nil {
		t.Error("Prepare opened a directory")
	}
	if _, _, err := l.Prepare(Settings{Level: "loud", Format: "text"}, first); err == nil || !strings.Contains(err.Error(), "log.level") {
		t.Errorf("Prepare says %v, want an error about log.level", err)
	}

	commit, _, err := l.Prepare(json, second)
	if err != nil {
		t.Fatal(err)
	}
	l.Logger().Info("two")
	commit()
	l.Logger().Info("three")
	checkNoDescriptor(t, first)
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}

	if got := lines(t, first); len(got) != 2 || !strings.Contains(got[0], "msg=one") || !strings.Contains(got[1], "msg=two") {
		t.Errorf("the first log has %q", got)
	}
	if got := lines(t, second); len(got) != 1 || !strings.Contains(got[0], `"msg":"three"`) {
		t.Errorf("the second log has %q", got)
	}
	if want := []string{second, second}; !slices.Equal(seen, want) {
		t.Errorf("OnReopen saw %v, want %v", seen, want)
	}
}

func TestClose(t *testing.T) {
	l, file := open(t, *Default())
	commit, _, err := l.Prepare(*Default(), file+".2")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	l.Logger().Info("too late")
	if n := l.Dropped(); n != 1 {
		t.Errorf("%d lines were dropped, want 1", n)
	}
	if l.File() != nil {
		t.Error("there is a file")
	}
	if err := l.Reopen(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Reopen says %v, want os.ErrClosed", err)
	}
	if _, _, err := l.Prepare(*Default(), file); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Prepare says %v, want os.ErrClosed", err)
	}
	commit()
	checkNoDescriptor(t, file)
	checkNoDescriptor(t, file+".2")
}

// pitfall 49: nothing stays behind, neither goroutines nor descriptors.
func TestNothingStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "test.log")
	for range 100 {
		l, err := Open(*Default(), file)
		if err != nil {
			t.Fatal(err)
		}
		l.Logger().Info("line")
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkNoDescriptor(t, file)
}

func BenchmarkLog(b *testing.B) {
	for _, format := range []string{"text", "json"} {
		b.Run(format, func(b *testing.B) {
			l, _ := open(b, Settings{Level: "info", Format: format})
			log := l.Logger().With("transport", "tcp")
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(b.Context(), slog.LevelInfo, "message stored", slog.Int("bytes", 100), slog.String("peer", "127.0.0.1:7000"))
			}
		})
	}
	b.Run("below the level", func(b *testing.B) {
		l, _ := open(b, *Default())
		b.ReportAllocs()
		for b.Loop() {
			l.Logger().Debug("message stored", "bytes", 100)
		}
	})
	b.Run("slog itself", func(b *testing.B) {
		_, file := open(b, *Default())
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		log := slog.New(slog.NewTextHandler(f, nil)).With("transport", "tcp")
		b.ReportAllocs()
		for b.Loop() {
			log.LogAttrs(b.Context(), slog.LevelInfo, "message stored", slog.Int("bytes", 100), slog.String("peer", "127.0.0.1:7000"))
		}
	})
}

// Lines together are written when they are flushed, in their order, in the format that
// the log has, with the attributes of their logger; what else is logged does not wait.
func TestTogether(t *testing.T) {
	for format, want := range map[string]string{"text": `time=\S+ level=INFO msg=one a=1 g\.b=2 g\.n=0`, "json": `\{"time":"\S+","level":"INFO","msg":"one","a":1,"g":\{"b":2,"n":0\}\}`} {
		settings := Default()
		settings.Format = format
		l, file := open(t, *settings)
		l.Logger().Info("begin")
		offer := l.Logger().With("a", 1).WithGroup("g").With("b", 2).Handler().(interface{ Together() (slog.Handler, func()) })
		for range 2 { // a buffer is used again
			handler, flush := offer.Together()
			together := slog.New(handler)
			for i := range 3 {
				together.Info("one", "n", i)
			}
			together.Debug("not at this level")
			before := len(lines(t, file))
			l.Logger().Info("other")
			if got := lines(t, file); len(got) != before+1 {
				t.Errorf("%d lines before the flush: %q", len(got)-before, got)
			}
			flush()
			got := lines(t, file)
			if len(got) != before+4 {
				t.Fatalf("%d lines: %q", len(got)-before, got)
			}
			matches(t, got[before+1], want)
		}
		_, flush := offer.Together()
		before := len(lines(t, file))
		flush()
		if got := lines(t, file); len(got) != before {
			t.Errorf("nothing was logged, and the log has %q", got)
		}
	}
}

// pitfall 48: what does not fit on the disk is counted, line by line.
func TestTogetherOnAFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		leftout.Impossible(t, "/dev/full")
	}
	l, err := Open(*Default(), "/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	handler, flush := l.Logger().Handler().(interface{ Together() (slog.Handler, func()) }).Together()
	for range 10 {
		slog.New(handler).Info("no room")
	}
	flush()
	if n := l.Dropped(); n != 10 {
		t.Errorf("%d lines were dropped, want 10", n)
	}
}
