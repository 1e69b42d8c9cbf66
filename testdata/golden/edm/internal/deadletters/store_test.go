package deadletters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// open opens the dead letters of a directory for a test.
func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err == nil {
		err = s.Prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// add adds letters with these messages.
func add(t *testing.T, s *Store, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if err := s.Add(Letter{Time: time.Now(), Transport: "tcp", Message: []byte(m), Reason: "no luck", Attempts: 3}); err != nil {
			t.Fatal(err)
		}
	}
}

// all returns all letters, and how many lines are unreadable.
func all(t *testing.T, s *Store) (letters []Letter, unreadable int) {
	t.Helper()
	for l, err := range s.Letters() {
		switch {
		case errors.As(err, new(*UnreadableError)):
			unreadable++
		case err != nil:
			t.Fatal(err)
		default:
			letters = append(letters, l)
		}
	}
	return letters, unreadable
}

// want fails the test unless there are letters with these messages, in this order.
func want(t *testing.T, s *Store, messages ...string) []Letter {
	t.Helper()
	letters, unreadable := all(t, s)
	var got []string
	last := ""
	for _, l := range letters {
		got = append(got, string(l.Message))
		if l.ID <= last {
			t.Errorf("id %s comes after %s", l.ID, last)
		}
		last = l.ID
	}
	if !slices.Equal(got, messages) || unreadable != 0 {
		t.Fatalf("letters %q and %d unreadable lines, want %q", got, unreadable, messages)
	}
	if n := count(s); n != len(messages) {
		t.Errorf("there are said to be %d letters, want %d", n, len(messages))
	}
	return letters
}

// count returns what Count does on a machine that has time.
func count(s *Store) int {
	n := s.Count()
	s.mu.Lock()
	counting := s.counter.counting
	s.mu.Unlock()
	if counting == nil {
		return n
	}
	<-counting
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counter.letters
}

// ids returns the ids of letters.
func ids(letters []Letter) (ids []string) {
	for _, l := range letters {
		ids = append(ids, l.ID)
	}
	return ids
}

// append writes to the end of a file, as only a crash or an editor would.
func appendTo(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// files returns the names of the files in a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestAddAndDrop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	want(t, s)
	add(t, s, "a", "b", "c", "d")
	letters := want(t, s, "a", "b", "c", "d")
	dropped, unknown, err := s.DropIDs([]string{"zzz", letters[1].ID, letters[3].ID, "0nosuchid", "zzz"})
	if dropped != 2 || !slices.Equal(unknown, []string{"zzz", "0nosuchid"}) || err != nil {
		t.Errorf("dropped %d, unknown %q, %v", dropped, unknown, err)
	}
	want(t, s, "a", "c")
	add(t, s, "e")
	want(t, open(t, dir), "a", "c", "e")
	if n, err := s.Drop(func(l Letter) bool { return string(l.Message) > "b" }); n != 2 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	want(t, s, "a")
	if n, err := s.Drop(func(Letter) bool { return true }); n != 1 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	want(t, s)
	if got := files(t, dir); !slices.Equal(got, []string{lockName}) {
		t.Errorf("there are %q", got)
	}
	add(t, s, "f")
	want(t, s, "f")
}

// FuzzRoundTrip: whatever a message, a key, a reason consist of, a letter is read
// as it was written, from one line, which jq reads too.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("hello"), "", "no luck")
	f.Add([]byte(""), "key", "")
	f.Add([]byte(nil), "\xff", "\xfe")
	f.Add([]byte("\x00\n\r\u2028\u2029<&>\"\\\uFFFD\U0010FFFF"), "a\nb", "two\nlines")
	f.Add([]byte{0xff, 0x00, '\n'}, "k", "r")
	f.Add([]byte("\xed\xa0\x80"), "surrogate \xed\xa0\x80", "r") // half of a pair, which JSON has a form for
	f.Fuzz(func(t *testing.T, message []byte, key, reason string) {
		in := Letter{
			ID: formatID(time.Now().UnixMilli()), Time: time.Now().UTC().Truncate(time.Millisecond),
			Transport: "tcp", Key: key, Message: message, Reason: reason, Attempts: 7,
		}
		text, err := in.encode()
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n != 1 || text[len(text)-1] != '\n' || !json.Valid(text) {
			t.Fatalf("no line of JSON: %q", text)
		}
		if id, ok := lineID(text); !ok || id != in.ID {
			t.Errorf("the line begins with id %q, %v", id, ok)
		}
		out, ok := decode(text)
		if !ok || !bytes.Equal(out.Message, message) || out.Key != key || !out.Time.Equal(in.Time) ||
			out.Reason != strings.ToValidUTF8(reason, "\uFFFD") || out.ID != in.ID || out.Attempts != 7 {
			t.Errorf("%q\nbecame %+v\nof     %+v", text, out, in)
		}
	})
}

// What is text can be read as such in the file; the rest is base64.
func TestFileIsForPeople(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	s.now = func() time.Time { return time.UnixMilli(1764169982123) }
	failed := time.Date(2025, 11, 26, 16, 13, 2, 120e6, time.FixedZone("CET", 3600))
	for _, l := range []Letter{
		{Time: failed, Transport: "tcp", Message: []byte("<é>"), Reason: "no such table", Attempts: 3},
		{Time: failed, Transport: "amqp", Key: "k", Message: []byte{0xff, 0}, Attempts: 1},
	} {
		if err := s.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, current))
	text := `{"id":"0mig59a5n","time":"2025-11-26T15:13:02.120Z","transport":"tcp","message":"<é>","reason":"no such table","attempts":3}
{"id":"0mig59a5o","time":"2025-11-26T15:13:02.120Z","transport":"amqp","key":"k","message_base64":"/wA=","reason":"","attempts":1}
`
	if string(got) != text || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, got, text)
	}
	info, err := os.Stat(filepath.Join(dir, current))
	if err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("it is %v, %v", info, err)
	}
}

// A line that a crash has cut harms no other letter, and neither do the ones that
// somebody has edited; none of them is lost without a word.
func TestUnreadableLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, "a", "b")
	path := filepath.Join(dir, current)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	torn := string(good[:len(good)/4])
	appendTo(t, path, "\n  \nrubbish\n"+strings.Replace(torn, `"a`, `"`, 1)+"\n"+strings.Replace(string(good), "{", "\xff{", 1)+torn)
	add(t, s, "c")

	check := func(unreadable int, messages ...string) []Letter {
		t.Helper()
		letters, n := all(t, s)
		var got []string
		for _, l := range letters {
			got = append(got, string(l.Message))
		}
		if n != unreadable || !slices.Equal(got, messages) {
			t.Fatalf("%q and %d unreadable lines, want %q and %d", got, n, messages, unreadable)
		}
		return letters
	}
	letters := check(4, "a", "b", "b", "c") // one line was there twice
	for _, err := range s.Letters() {
		if at := (*UnreadableError)(nil); errors.As(err, &at) && (at.File != path || at.Line != 5) {
			t.Errorf("%v, want it on line 5", err)
		}
		if err != nil {
			break
		}
	}
	if n, unknown, err := s.DropIDs(ids(letters)); n != 4 || len(unknown) != 0 || err != nil {
		t.Errorf("dropped %d, unknown %q, %v", n, unknown, err)
	}
	check(4)
	add(t, s, "d")
	check(4, "d")
	if n, err := s.DropUnreadable(); n != 4 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	want(t, s, "d")
}

// Ids rise whatever the clock does, and none is given again.
func TestIDs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	clock := time.Now()
	used := make(map[string]bool)
	last := ""
	for round := range 5 {
		s := open(t, dir)
		s.now = func() time.Time { return clock }
		add(t, s, "a", "b", "c")
		letters := want(t, s, "a", "b", "c")
		for _, l := range letters {
			if used[l.ID] || l.ID <= last {
				t.Errorf("round %d: id %s after %s", round, l.ID, last)
			}
			used[l.ID], last = true, l.ID
		}
		if round == 3 { // somebody clears up too much: what is left counts
			if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
				t.Fatal(err)
			}
			add(t, s, "d")
			letters = want(t, s, "a", "b", "c", "d")
			last = letters[3].ID
		}
		if _, err := s.Drop(func(Letter) bool { return true }); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(-time.Hour)
	}
	for _, damage := range []string{"", "x", "zzzzzzzzz\n", "\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		s := open(t, dir)
		if err := os.WriteFile(filepath.Join(dir, lockName), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		add(t, s, "a")
		want(t, s, "a")
		if _, err := s.Drop(func(Letter) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	s.Configure(Settings{FileSize: 4096, TotalSize: 1 << 20})
	var messages []string
	for n := range 20 {
		messages = append(messages, fmt.Sprint(n, strings.Repeat("x", 1000)))
	}
	messages[7] = strings.Repeat("y", 10000) // larger than a file may be
	add(t, s, messages...)
	letters := want(t, s, messages...)
	names := files(t, dir)
	// Three letters to a file, and the large one alone.
	if wanted := []string{current, "dead_letters.000001", "dead_letters.000002", "dead_letters.000003", "dead_letters.000004"}; !slices.Equal(names[:5], wanted) || len(names) != 9 {
		t.Errorf("there are %q", names)
	}
	// A file without letters goes, and its number is not given again.
	if n, _, err := s.DropIDs(ids(letters[:5])); n != 5 || err != nil {
		t.Errorf("dropped %d, %v", n, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dead_letters.000001")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty file: %v", err)
	}
	messages = messages[5:]
	want(t, s, messages...)
	add(t, s, "z", strings.Repeat("z", 4000))
	want(t, s, append(messages, "z", strings.Repeat("z", 4000))...)
}

// When all files have their total size nothing more is taken, what is there stays,
// and a message that is tried again has the place of its letter.
func TestFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	s.Configure(Settings{FileSize: 4096, TotalSize: 8192})
	letter := func(n int) Letter {
		return Letter{Time: time.Now(), Message: []byte(fmt.Sprint(n, strings.Repeat("x", 900)))}
	}
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = s.Add(letter(n))
	}
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "8KiB (dead_letters.total_size)") {
		t.Errorf("after %d letters: %v", n, err)
	}
	letters, _ := all(t, s)
	if len(letters) != n-1 {
		t.Fatalf("%d letters, want %d", len(letters), n-1)
	}
	s.Retry(letter(0).Message)
	if err := s.Add(letter(1)); !errors.Is(err, ErrFull) {
		t.Errorf("another message: %v", err)
	}
	if err := s.Add(letter(0)); err != nil {
		t.Errorf("a message that is tried again: %v", err)
	}
	if err := s.Add(letter(0)); !errors.Is(err, ErrFull) {
		t.Errorf("the same for the second time: %v", err)
	}
	if !s.Retried(letter(0).Message, true) {
		t.Error("the letter that took the place is not known")
	}
	if _, _, err := s.DropIDs(ids(letters[:2])); err != nil {
		t.Error(err)
	}
	if err := s.Add(letter(n)); err != nil {
		t.Errorf("with room again: %v", err)
	}
	s.Configure(Settings{FileSize: 4096, TotalSize: 4096})
	if err := s.Add(letter(n)); !errors.Is(err, ErrFull) {
		t.Errorf("with less: %v", err)
	}
}

// Of equal messages that are tried again, as many letters are replaced as were
// added.
func TestRetry(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	message := []byte("a")
	for range 3 {
		s.Retry(message)
	}
	add(t, s, "a", "b")
	for _, c := range []struct{ failed, added bool }{{false, false}, {true, true}, {true, false}} {
		if got := s.Retried(message, c.failed); got != c.added {
			t.Errorf("failed %v: there is another letter: %v, want %v", c.failed, got, c.added)
		}
	}
	if s.Retried(message, true) || len(s.retries.all) != 0 {
		t.Errorf("something is left: %v", s.retries.all)
	}
	end, err := s.BeginReplay()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, s.path).BeginReplay(); !errors.Is(err, ErrReplaying) {
		t.Errorf("a second replay: %v", err)
	}
	end()
	if end, err = s.BeginReplay(); err != nil {
		t.Fatal(err)
	}
	end()
}

// After finds its way through any files.
func TestAfter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	s.Configure(Settings{FileSize: 4096, TotalSize: 1 << 20})
	for n := range 50 {
		add(t, s, fmt.Sprint(n, strings.Repeat("x", 400)))
	}
	letters, _ := all(t, s)
	appendTo(t, filepath.Join(dir, "dead_letters.000002"), "rubbish\n")
	for from := range letters {
		got, more, err := s.After(letters[from].ID, nil, 10, 1<<20)
		wanted := ids(letters[from+1 : min(from+11, 50)])
		if !slices.Equal(ids(got), wanted) || more != (len(wanted) == 10) || err != nil {
			t.Fatalf("after %d: %q, %v, %v; want %q", from, ids(got), more, err, wanted)
		}
	}
	got, more, err := s.After("", func(id string) bool { return id > letters[30].ID }, 100, 1000)
	if !slices.Equal(ids(got), ids(letters[31:34])) || !more || err != nil {
		t.Errorf("%q, %v, %v", ids(got), more, err)
	}
	if last, err := s.Last(); last != letters[49].ID || err != nil {
		t.Errorf("the last is %s, %v, want %s", last, err, letters[49].ID)
	}
}

// The count is right whatever happens between two of them, and also if a file that
// took another's place has its inode.
func TestCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	for _, store := range []*Store{s, other} {
		store.Configure(Settings{FileSize: 4096, TotalSize: 1 << 20})
	}
	for round := range 60 {
		add(t, other, strings.Repeat("x", 50*(round%7)), "y", strings.Repeat("z", 300))
		letters, _ := all(t, other)
		switch round % 5 {
		case 1:
			if _, _, err := other.DropIDs(ids(letters[len(letters)-2:])); err != nil {
				t.Fatal(err)
			}
		case 3:
			if _, err := other.Drop(func(l Letter) bool { return len(l.Message) == 1 }); err != nil {
				t.Fatal(err)
			}
		case 4:
			if _, _, err := other.DropIDs(ids(letters[:4])); err != nil {
				t.Fatal(err)
			}
		}
		letters, _ = all(t, s)
		if got := count(s); got != len(letters) {
			t.Fatalf("round %d: there are said to be %d letters, want %d", round, got, len(letters))
		}
	}
}

// What a rewrite has left that was killed is swept away, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	add(t, open(t, dir), "a")
	for _, name := range []string{temporary, temporary + ".7.8", "dead_letters.txt", "dead_letters.1", "others"} {
		appendTo(t, filepath.Join(dir, name), "x")
	}
	s := open(t, dir)
	add(t, s, "b")
	want(t, s, "a", "b")
	if got := files(t, dir); !slices.Equal(got, []string{current, "dead_letters.1", lockName, "dead_letters.txt", "others"}) {
		t.Errorf("there are %q", got)
	}
}

// Pitfall 29: what the service's user may put in the place of a file is not
// touched, and nobody waits for it.
func TestStrangeFiles(t *testing.T) {
	t.Parallel()
	for kind, put := range map[string]func(path, victim string) error{
		"link":            func(path, victim string) error { return os.Symlink(victim, path) },
		"link to nothing": func(path, victim string) error { return os.Symlink(victim+"2", path) },
		"link inside":     func(path, _ string) error { return os.Symlink("inside", path) },
		"dangling inside": func(path, _ string) error { return os.Symlink("nothing", path) },
		"folder":          func(path, _ string) error { return os.Mkdir(path, 0o700) },
		"pipe":            func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
	} {
		for _, name := range []string{current, lockName, rotatedName(1)} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				victim := filepath.Join(t.TempDir(), "victim")
				dir := t.TempDir()
				appendTo(t, victim, "precious")
				appendTo(t, filepath.Join(dir, "inside"), "precious")
				if err := put(filepath.Join(dir, name), victim); err != nil {
					t.Fatal(err)
				}
				s, err := Open(dir)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = s.Close() }()
				err = s.Prepare()
				if name == rotatedName(1) {
					_, err = s.Drop(func(Letter) bool { return true })
				}
				if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
					t.Errorf("got %v, want an error with the path", err)
				}
				if err := s.Add(Letter{}); err == nil && name != rotatedName(1) {
					t.Error("a letter was added")
				}
				for _, err := range s.Letters() {
					if err == nil || errors.As(err, new(*UnreadableError)) {
						t.Error("something was read")
					}
				}
				for _, path := range []string{victim, filepath.Join(dir, "inside")} {
					if text, err := os.ReadFile(path); string(text) != "precious" || err != nil {
						t.Errorf("the victim holds %q, %v", text, err)
					}
				}
				for _, path := range []string{victim + "2", filepath.Join(dir, "nothing")} {
					if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s was made: %v", path, err)
					}
				}
			})
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settings Settings
		want     string
	}{
		{*Default(), ""},
		{Settings{4096, 4096}, ""},
		{Settings{4095, 1 << 30}, "file_size: must be at least 4KiB, is 4095B"},
		{Settings{1 << 20, 1 << 19}, "total_size: must be at least file_size, 1MiB, is 512KiB"},
		{Settings{1 << 20, 1 << 40}, "file_size: would make more than 10000 files of total_size, 1TiB, is 1MiB"},
	} {
		var got []string
		c.settings.Validate(func(key, reason string) { got = append(got, key+": "+reason) })
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%v: %q, want %q", c.settings, got, c.want)
		}
	}
}
