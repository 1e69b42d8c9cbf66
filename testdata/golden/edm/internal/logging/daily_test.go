package logging

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// daily opens a log with a file a day. To be called in a bubble of synctest,
// where the clock stands still unless somebody sleeps.
func daily(t *testing.T, dir string) *Log {
	t.Helper()
	settings := *Default()
	settings.Daily = true
	l, err := Open(settings, filepath.Join(dir, "feed.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// day is the file of a day, counted from today.
func day(dir string, n int) string {
	return filepath.Join(dir, "feed-"+time.Now().AddDate(0, 0, n).Format(time.DateOnly)+".log")
}

// only fails the test unless these are the files in a directory.
func only(t *testing.T, dir string, files ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, filepath.Join(dir, entry.Name()))
	}
	if strings.Join(names, " ") != strings.Join(files, " ") {
		t.Errorf("files %q, want %q", names, files)
	}
}

// says fails the test unless these are the messages in a file.
func says(t *testing.T, file string, messages ...string) {
	t.Helper()
	var got []string
	for _, line := range lines(t, file) {
		_, message, _ := strings.Cut(line, "msg=")
		got = append(got, message)
	}
	if strings.Join(got, ", ") != strings.Join(messages, ", ") {
		t.Errorf("%s has %q, want %q", file, got, messages)
	}
}

func TestDaily(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := daily(t, dir)
		first, second, fourth := day(dir, 0), day(dir, 1), day(dir, 3)
		var told []string
		l.OnReopen(func(file *os.File) {
			told = append(told, file.Name())
			l.Logger().Info("told") // must not wait for what is going on
		})
		l.Logger().Info("one")
		time.Sleep(23 * time.Hour)
		l.Logger().Info("two")
		only(t, dir, first)
		time.Sleep(2 * time.Hour)
		only(t, dir, first) // without a line there is no file
		l.Logger().Info("three")
		if file := l.File(); file == nil || file.Name() != second {
			t.Errorf("File() is %v", file)
		}
		time.Sleep(48 * time.Hour)
		l.Logger().With("a", 1).Info("four")
		only(t, dir, first, second, fourth)
		says(t, first, "one", "two")
		says(t, second, "told", "three")
		says(t, fourth, "told", `four a=1`)
		if strings.Join(told, " ") != second+" "+fourth {
			t.Errorf("told of %q", told)
		}
		checkNoDescriptor(t, first)
		checkNoDescriptor(t, second)
	})
}

// Who is told of the file of a day may log when that day is over.
func TestDailyMidnightWhileTold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := daily(t, dir)
		l.OnReopen(func(*os.File) {
			time.Sleep(24 * time.Hour)
			l.Logger().Info("told")
		})
		second := day(dir, 1)
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		says(t, day(dir, -1), "told")
		l.Logger().Info("one")
		says(t, second, "told", "one")
	})
}

// Reopen makes the file of the day anew, as for a file that was moved away.
func TestDailyReopen(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := daily(t, dir)
		l.Logger().Info("one")
		moved := filepath.Join(dir, "moved")
		if err := os.Rename(day(dir, 0), moved); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		l.Logger().Info("two")
		says(t, moved, "one")
		says(t, day(dir, 0), "two")
		time.Sleep(24 * time.Hour)
		if err := l.Reopen(); err != nil { // the first of a day may be this, too
			t.Fatal(err)
		}
		l.Logger().Info("three")
		says(t, day(dir, 0), "three")
	})
}

// A reload may turn it on and off, and another file is another one a day.
func TestDailyPrepare(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := daily(t, dir)
		change := func(daily bool, file string) {
			settings := *Default()
			settings.Daily = daily
			commit, _, err := l.Prepare(settings, file)
			if err != nil {
				t.Fatal(err)
			}
			commit()
		}
		plain := filepath.Join(dir, "feed.log")
		l.Logger().Info("one")
		change(false, plain)
		l.Logger().Info("two")
		time.Sleep(24 * time.Hour)
		l.Logger().Info("three")
		says(t, plain, "two", "three")
		change(true, plain)
		l.Logger().Info("four")
		says(t, day(dir, 0), "four")
		change(true, filepath.Join(dir, "other"))
		l.Logger().Info("five")
		says(t, filepath.Join(dir, "other-"+time.Now().Format(time.DateOnly)), "five")
		change(true, "") // standard error has no days
		if l.File() != nil {
			t.Error("a file for standard error")
		}
	})
}

// A file that can't be made: the old one goes on, says so once, and the new one
// is tried again after a while.
func TestDailyFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := daily(t, dir)
		first, second := day(dir, 0), day(dir, 1)
		if err := os.Mkdir(second, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		l.Logger().Info("one")
		time.Sleep(retryOpen)
		l.Logger().Info("two")
		if got := lines(t, first); len(got) != 3 || !strings.Contains(got[0], "the log of the day can't be opened") {
			t.Errorf("the old file has %q", got)
		}
		if err := os.Remove(second); err != nil {
			t.Fatal(err)
		}
		l.Logger().Info("three")
		time.Sleep(retryOpen)
		l.Logger().Info("four")
		says(t, second, "four")
		if n := l.Dropped(); n != 0 {
			t.Errorf("%d lines were dropped", n)
		}
	})
}

// Lines of many goroutines around midnight: each is in the file of its day, and
// no line is lost.
func TestDailyUnderLoad(t *testing.T) {
	const writers, perWriter, days = 8, 200, 3
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := daily(t, dir)
		var files []string
		for n := range days + 1 {
			files = append(files, day(dir, n))
		}
		pause := days * 24 * time.Hour / perWriter
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range perWriter {
					l.Logger().Info("line", "day", time.Now().Format(time.DateOnly))
					time.Sleep(pause)
				}
			})
		}
		group.Wait()
		total := 0
		for _, file := range files {
			if _, err := os.Stat(file); err != nil {
				continue // the last may have no line
			}
			for _, line := range lines(t, file) {
				total++
				if _, day, _ := strings.Cut(line, "day="); !strings.Contains(file, day) {
					t.Fatalf("%s has %q", file, line)
				}
			}
		}
		if total != writers*perWriter {
			t.Errorf("%d lines, want %d", total, writers*perWriter)
		}
	})
}

func TestNameOn(t *testing.T) {
	for file, want := range map[string]string{
		"/var/log/feed.log": "/var/log/feed-2006-01-02.log",
		"feed":              "feed-2006-01-02",
		"a.b/feed":          "a.b/feed-2006-01-02",
		"feed.log.txt":      "feed.log-2006-01-02.txt",
		"/var/log/.feed":    "/var/log/.feed-2006-01-02",
	} {
		if got := nameOn(20060102, file); got != want {
			t.Errorf("nameOn(%q) = %q, want %q", file, got, want)
		}
		if got := nameOn(0, file); got != file {
			t.Errorf("without a day nameOn(%q) = %q", file, got)
		}
	}
}
