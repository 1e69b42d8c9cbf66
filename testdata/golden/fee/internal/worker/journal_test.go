package worker

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func openJournal(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// die lets go of the file as the end of a process does.
func die(j *Journal) {
	j.writing.Lock()
	defer j.writing.Unlock()
	_ = j.file.Close()
	j.file = nil
}

func mustBegin(t *testing.T, j *Journal, ids ...string) *attempt {
	t.Helper()
	var marks []mark
	for _, id := range ids {
		marks = append(marks, markOf("t", id))
	}
	a := j.attempt(marks)
	if err := a.begin(); err != nil {
		t.Fatal(err)
	}
	return a
}

func mustEnd(t *testing.T, a *attempt) {
	t.Helper()
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
}

// deaths is what the journal knows of the messages.
func deaths(j *Journal, ids ...string) string {
	var counts []string
	for _, id := range ids {
		counts = append(counts, fmt.Sprint(id, j.deathsWith(markOf("t", id))))
	}
	return strings.Join(counts, " ")
}

func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Pitfall 61: who opens the journal knows during which attempts the processes
// before it died, however often.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	ended := mustBegin(t, j, "a", "b")
	mustBegin(t, j, "c", "d") // together
	mustBegin(t, j, "d")      // twice at a time is one death
	mustEnd(t, ended)
	mustEnd(t, ended)
	die(j)

	j = openJournal(t, path)
	if got, want := deaths(j, "a", "b", "c", "d"), "a0 b0 c1 d1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	mustBegin(t, j, "c")
	mustEnd(t, mustBegin(t, j, "d"))
	if got, want := deaths(j, "c", "d"), "c1 d1"; got != want {
		t.Errorf("its own attempts count: %s, want %s", got, want)
	}
	if err := j.forget(markOf("t", "d")); err != nil {
		t.Error(err)
	}
	die(j)

	j = openJournal(t, path)
	if got, want := deaths(j, "c", "d"), "c2 d0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if other := j.deathsWith(markOf("u", "c")); other != 0 {
		t.Error("a message of another transport has the same mark")
	}
	for _, id := range []string{"c", "unknown"} {
		if err := j.forget(markOf("t", id)); err != nil {
			t.Error(err)
		}
	}
	if got := contents(t, path); got != "" {
		t.Errorf("with nothing to know it holds %q", got)
	}
}

// An attempt that was given up before it began is none.
func TestJournalAttemptThatNeverBegan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	a := j.attempt([]mark{markOf("t", "a")})
	mustEnd(t, a)
	if err := a.begin(); err != nil {
		t.Error(err)
	}
	if got := contents(t, path); got != "" {
		t.Errorf("it holds %q", got)
	}
}

// An orderly end is no death, whatever goes on meanwhile.
func TestJournalClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	hangs := mustBegin(t, j, "a")
	for range 2 {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
	mustEnd(t, hangs)
	mustBegin(t, j, "b")
	if got := deaths(openJournal(t, path), "a", "b"); got != "a0 b0" {
		t.Error(got)
	}
}

// Processes that work side by side, as in an upgrade, do not take each other's
// attempts for deaths; those of all that are dead are added up, and their files
// go.
func TestJournalsOfSeveralProcesses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "attempts")
	first := openJournal(t, path)
	mustBegin(t, first, "a", "b")
	second := openJournal(t, path)
	third := openJournal(t, path)
	mustBegin(t, second, "a")
	mustBegin(t, third, "c")
	if got := deaths(second, "a", "b") + " " + deaths(third, "a", "b"); got != "a0 b0 a0 b0" {
		t.Errorf("while all live: %s", got)
	}
	die(first)
	die(second)
	fourth := openJournal(t, path)
	if got := deaths(fourth, "a", "b", "c"); got != "a2 b1 c0" {
		t.Errorf("with two dead: %s", got)
	}
	die(third)
	die(fourth)
	if got := deaths(openJournal(t, path), "a", "b", "c"); got != "a2 b1 c1" {
		t.Errorf("with all dead: %s", got)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	if fmt.Sprint(names) != fmt.Sprint([]string{path}) {
		t.Errorf("left are %s", names)
	}
}

// Many that open at a time each get a file, and none counts what lives.
func TestJournalsOpenedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	for range 20 {
		var opened sync.WaitGroup
		for range 8 {
			opened.Go(func() {
				j, err := OpenJournal(path)
				if err != nil {
					t.Error(err)
					return
				}
				if n := j.deathsWith(markOf("t", "a")); n != 0 {
					t.Errorf("%d deaths", n)
				}
				a := j.attempt([]mark{markOf("t", "a")})
				if err := a.begin(); err != nil {
					t.Error(err)
				}
				if err := j.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		opened.Wait()
	}
}

func TestJournalsTooMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	for range maxProcesses {
		openJournal(t, path)
	}
	if _, err := OpenJournal(path); err == nil || !strings.Contains(err.Error(), "64 processes use "+path) {
		t.Error(err)
	}
}

// The file stays small under load that never ends.
func TestJournalIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	lasting := mustBegin(t, j, "lasting")
	largest := int64(0)
	for i := range 10000 {
		mustEnd(t, mustBegin(t, j, fmt.Sprint(i)))
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else {
			largest = max(largest, info.Size())
		}
	}
	if largest > minLimit {
		t.Errorf("it grew to %d bytes", largest)
	}
	die(j)
	j = openJournal(t, path)
	if got := deaths(j, "lasting", "9999"); got != "lasting1 99990" {
		t.Error(got)
	}
	mustEnd(t, lasting)
}

// What is never delivered again is forgotten, by its age, and the oldest when
// there are too many.
func TestJournalForgets(t *testing.T) {
	now := time.Now()
	e := newEntries()
	for i := range maxDeaths + 5 {
		e.deaths[markOf("t", fmt.Sprint(i))] = death{1, now.Add(-time.Duration(i) * time.Second).Unix()}
	}
	e.deaths[markOf("t", "old")] = death{2, now.Add(-maxAge - time.Minute).Unix()}
	e.deaths[markOf("t", "not so old")] = death{2, now.Add(-maxAge + time.Hour).Unix()}
	e.prune(now)
	has := func(id string) bool { return e.deaths[markOf("t", id)].count > 0 }
	if len(e.deaths) != maxDeaths || has("old") || has("not so old") || has(fmt.Sprint(maxDeaths)) || !has(fmt.Sprint(maxDeaths-1)) {
		t.Errorf("%d entries", len(e.deaths))
	}
	clear(e.deaths)
	e.deaths[markOf("t", "not so old")] = death{2, now.Add(-maxAge + time.Hour).Unix()}
	if e.prune(now); !has("not so old") {
		t.Error("forgotten before its time")
	}
}

// After a line that was cut off, by a full disk or the end of the process, nothing
// else is lost.
func TestJournalTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	j := openJournal(t, path)
	mustBegin(t, j, "a")
	if _, err := j.file.WriteString("+ 0123"); err != nil {
		t.Fatal(err)
	}
	die(j)
	j = openJournal(t, path)
	if got := deaths(j, "a"); got != "a1" {
		t.Error(got)
	}
	mustBegin(t, j, "b")
	// Part of a line is written, and then the disk is full.
	if _, err := j.file.WriteString("+ 0123"); err != nil {
		t.Fatal(err)
	}
	_ = j.file.Close()
	if err := j.attempt([]mark{markOf("t", "c")}).begin(); err == nil {
		t.Error("a file that can't be written to is no error")
	}
	mustBegin(t, j, "d")
	die(j)
	if got := deaths(openJournal(t, path), "a", "b", "c", "d"); got != "a1 b1 c1 d1" {
		t.Error(got)
	}
}

// What is in the place of the file, and is not one, is an error, and left alone.
func TestJournalInThePlaceOfSomethingElse(t *testing.T) {
	tests := map[string]func(path string) error{
		"directory":    func(path string) error { return os.Mkdir(path, 0o700) },
		"symlink":      func(path string) error { return os.Symlink("elsewhere", path) },
		"to a file":    func(path string) error { return os.Symlink(path+"x", path) },
		"pipe":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"in no folder": func(path string) error { return os.Remove(filepath.Dir(path)) },
	}
	for name, put := range tests {
		for _, suffix := range []string{"", ".7"} {
			if name == "in no folder" && suffix != "" {
				continue
			}
			t.Run(name+suffix, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "attempts")
				if name == "to a file" {
					if err := os.WriteFile(path+suffix+"x", nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := put(path + suffix); err != nil {
					t.Fatal(err)
				}
				j, err := OpenJournal(path)
				if err == nil {
					_ = j.Close()
					t.Fatal("opened")
				}
				if !strings.HasPrefix(err.Error(), "journal of attempts: ") || !strings.Contains(err.Error(), path+suffix) {
					t.Error(err)
				}
			})
		}
	}
}

func TestJournalIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	if err := os.WriteFile(path, []byte("+ "+strings.Repeat("0", 32)+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	j := openJournal(t, path)
	if n := j.deathsWith(mark{}); n != 1 {
		t.Errorf("%d deaths", n)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// FuzzJournal: whatever is in the file, it is read, and what was read is written
// so that it is read as the same.
func FuzzJournal(f *testing.F) {
	m := strings.Repeat("0f", 16)
	for _, seed := range []string{
		"", "\n\n", "+ " + m + "\n", "+ " + m, "+ " + m + "\n- " + m + "\n", "- " + m + "\n",
		"= " + m + " 3 1700000000\n+ " + m + "\n", "= " + m + " 0 0\n", "= " + m + " -1 0\n", "= " + m + " 99999999 0\n",
		"= " + m + " 1 -9223372036854775808\n", "+ " + m[:31] + "\n", "+ " + strings.ToUpper(m) + "\n", "+ " + m + " \n", "\x00+ " + m + "\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := parseEntries(text)
		for m, n := range e.running {
			if n < 1 {
				t.Errorf("%x runs %d times", m, n)
			}
		}
		for m, d := range e.deaths {
			if d.count < 1 || d.count > maxCount {
				t.Errorf("%x died %d times", m, d.count)
			}
		}
		again := parseEntries(e.encode())
		if !maps.Equal(e.deaths, again.deaths) || !maps.Equal(e.running, again.running) {
			t.Errorf("read %v, and then %v", e, again)
		}
		// What was cut off takes nothing with it that stands before.
		whole := parseEntries(text[:bytes.LastIndexByte(text, '\n')+1])
		if !maps.Equal(e.deaths, whole.deaths) || !maps.Equal(e.running, whole.running) {
			t.Errorf("with a part of a line %v, without %v", e, whole)
		}
	})
}

// Whatever becomes of the attempts of some processes, one after the other, the
// journal knows the deaths.
func TestJournalAtRandom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "attempts")
	want := make(map[string]int)
	for range 30 {
		j := openJournal(t, path)
		running := make(map[string][]*attempt)
		for range rand.IntN(50) {
			id := fmt.Sprint(rand.IntN(10))
			switch rand.IntN(5) {
			case 0, 1:
				running[id] = append(running[id], mustBegin(t, j, id))
			case 2, 3:
				if n := len(running[id]); n > 0 {
					mustEnd(t, running[id][n-1])
					running[id] = running[id][:n-1]
				}
			case 4:
				if err := j.forget(markOf("t", id)); err != nil {
					t.Fatal(err)
				}
				delete(want, id)
			}
		}
		if rand.IntN(4) == 0 {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		die(j)
		for id, attempts := range running {
			if len(attempts) > 0 {
				want[id]++
			}
		}
	}
	j := openJournal(t, path)
	for i := range 10 {
		if got, want := deaths(j, fmt.Sprint(i)), fmt.Sprintf("%d%d", i, want[fmt.Sprint(i)]); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
