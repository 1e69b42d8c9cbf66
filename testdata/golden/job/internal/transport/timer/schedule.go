// When runs are due.

package timer

import (
	"fmt"
	"strings"
	"time"

	"github.com/netresearch/go-cron"
)

// A schedule is the times at which runs are due.
type schedule interface {
	// after returns the first time after t; zero: there is none.
	after(t time.Time) time.Time
}

// newSchedule returns that of a valid configuration, whose intervals begin at
// start.
func newSchedule(c *Config, start time.Time) (schedule, error) {
	if c.Cron == "" {
		return interval{start, time.Duration(c.Every)}, nil
	}
	zone, err := c.location()
	if err != nil {
		return nil, err
	}
	expression, err := parseCron(c.Cron)
	if err != nil {
		return nil, err
	}
	return calendar{expression, zone}, nil
}

// interval has a time after each length, counted from start by a clock that
// nobody sets.
type interval struct {
	start  time.Time
	length time.Duration
}

func (s interval) after(t time.Time) time.Time {
	return s.start.Add((t.Sub(s.start)/s.length + 1) * s.length)
}

// calendar has the times of a cron expression.
type calendar struct {
	expression cron.Schedule
	zone       *time.Location
}

func (s calendar) after(t time.Time) time.Time { return s.expression.Next(t.In(s.zone)) }

// parser takes what crontab(5) does: of the day of the month and that of the week,
// if neither is *, it is enough that one fits.
var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom | cron.Descriptor)

// parseCron reads an expression of five fields, or a name for one such as @daily.
func parseCron(text string) (cron.Schedule, error) {
	name := strings.HasPrefix(text, "@")
	if n := len(strings.Fields(text)); !name && n != 5 || name && n != 1 {
		return nil, fmt.Errorf(`must have five fields, as "30 2 * * MON-FRI" for half past two on weekdays, or be one like @daily, is %q`, text)
	}
	expression, err := parser.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("is not a cron expression, %q: %w", text, err)
	}
	if expression.Next(time.Now()).IsZero() {
		return nil, fmt.Errorf("never comes, %q", text)
	}
	return expression, nil
}

// countUpTo counts the times of s after from and up to to, until there are most.
func countUpTo(s schedule, from, to time.Time, most int) int {
	n := 0
	for t := s.after(from); !t.IsZero() && !t.After(to) && n < most; t = s.after(t) {
		n++
	}
	return n
}
