// The section [transport.timer] of the configuration.

package timer

import (
	"fmt"
	"time"

	"example.com/job/internal/config"
	"example.com/job/internal/transport"
)

// Config is the section [transport.timer]. Every key can change while the service
// runs; a run that has begun is not touched by that.
type Config struct {
	// Every is the time from the beginning of one run to that of the next.
	Every config.Duration `toml:"every"`

	// Cron says when to run, and Every does not hold then: five fields for minute,
	// hour, day of the month, month and day of the week, or @hourly, @daily and so
	// on.
	Cron string `toml:"cron"`

	// TimeZone is what Cron is in, such as "Europe/Berlin" or "UTC"; empty: that of
	// the machine.
	TimeZone string `toml:"time_zone"`

	// Jitter is the most by which a run begins later than it should, by chance: so
	// many machines with the same configuration do not all begin at once.
	Jitter config.Duration `toml:"jitter"`

	// AtStart has the first run begin with the service.
	AtStart bool `toml:"at_start"`

	// Message is what the handler gets for each run.
	Message string `toml:"message"`

	// BackoffMax bounds the pause after runs that failed one after the other; 0 is
	// no pause but that of the schedule.
	BackoffMax config.Duration `toml:"backoff_max"`
}

// Default returns the section with its defaults.
func Default() transport.Config {
	return &Config{
		Every:      config.Duration(time.Hour),
		BackoffMax: config.Duration(5 * time.Minute),
	}
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if c.Cron != "" {
		if _, err := parseCron(c.Cron); err != nil {
			report("cron", err.Error())
		}
	} else if c.Every <= 0 {
		report("every", fmt.Sprintf("must be more than 0s unless there is cron, is %s", c.Every))
	}
	if _, err := c.location(); err != nil {
		report("time_zone", err.Error())
	}
	if c.Cron == "" && c.Jitter >= c.Every && c.Every > 0 {
		report("jitter", fmt.Sprintf("must be less than every, %s, is %s", c.Every, c.Jitter))
	}
}

func (c *Config) location() (*time.Location, error) {
	if c.TimeZone == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return nil, fmt.Errorf(`must be the name of a time zone that this machine knows, such as "Europe/Berlin" or "UTC", is %q`, c.TimeZone)
	}
	return zone, nil
}

// Listens implements transport.Config: a timer has no peers.
func (c *Config) Listens() []transport.Address { return nil }
