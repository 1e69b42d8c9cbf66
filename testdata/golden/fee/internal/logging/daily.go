// A file a day.

package logging

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"
)

// dayOf returns the day of a time where it is, as a number that is never 0:
// 20061102 is the 2nd of November 2006.
func dayOf(t time.Time) int64 {
	year, month, day := t.Date()
	return int64(year)*10000 + int64(month)*100 + int64(day)
}

// today is the day that a file opened now is for; 0 if it is for every day.
func today(settings Settings, file string) int64 {
	if !settings.Daily || file == "" {
		return 0
	}
	return dayOf(time.Now())
}

// nameOn returns the name of the file of a day: feed-2006-11-02.log for feed.log.
func nameOn(day int64, file string) string {
	if day == 0 {
		return file
	}
	extension := filepath.Ext(file)
	if extension == filepath.Base(file) { // a hidden file
		extension = ""
	}
	return fmt.Sprintf("%s-%04d-%02d-%02d%s", strings.TrimSuffix(file, extension), day/10000, day/100%100, day%100, extension)
}

// retryOpen is how long a file that can't be opened is left alone.
const retryOpen = time.Minute

// roll changes to the file of the day, if the day is another one than at the
// last line. Without a line there is no file, and no goroutine waits for
// midnight. If the file can't be opened the old one goes on, and says so once.
func (l *Log) roll() {
	was := l.day.Load()
	if was == 0 {
		return
	}
	// Those who are told of a new file may log, with l.change held.
	now := time.Now()
	if was == dayOf(now) || now.UnixNano() < l.retry.Load() || l.telling.Load() {
		return
	}
	l.change.Lock()
	defer l.change.Unlock()
	day := dayOf(now)
	if was = l.day.Load(); was == 0 || was == day || l.closed {
		return
	}
	to, err := openTarget(nameOn(day, l.path))
	if err == nil {
		l.swap(to, day)
		return
	}
	l.retry.Store(now.Add(retryOpen).UnixNano())
	if l.failed == day {
		return
	}
	l.failed = day
	record := slog.NewRecord(now, slog.LevelError, "the log of the day can't be opened", 0)
	record.AddAttrs(slog.Any("error", err))
	_ = l.newHandler(&l.output).write(context.Background(), record)
}
