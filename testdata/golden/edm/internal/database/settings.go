// The section [database] of the configuration.

package database

import (
	"fmt"
	"time"

	"example.com/edm/internal/config"
)

// Settings is the section [database], which holds for whichever database the
// service has, and means nothing without one. All but Use can change while the
// service runs.
type Settings struct {
	// Use is the NAME of the section [database.NAME] that holds, where there is
	// more than one.
	Use string `toml:"use" reload:"restart"`

	// Wait is how long a start waits for a database that can't be reached.
	Wait config.Duration `toml:"wait"`

	// Connections, MaxLifetime and MaxIdleTime are those of Env.
	Connections int             `toml:"connections"`
	MaxLifetime config.Duration `toml:"max_lifetime"`
	MaxIdleTime config.Duration `toml:"max_idle_time"`

	// CheckEvery is how often the service makes sure that the database answers.
	CheckEvery config.Duration `toml:"check_every"`
}

// maxConnections is what no server takes from one service, and more than enough
// for 10000 workers.
const maxConnections = 1 << 16

// DefaultSettings returns the settings that hold where the configuration says
// nothing. Wait is shorter than the 30 s in which the command start expects the
// service to be ready, so that the command can tell the cause.
func DefaultSettings() *Settings {
	return &Settings{
		Wait:        config.Duration(25 * time.Second),
		MaxLifetime: config.Duration(30 * time.Minute),
		MaxIdleTime: config.Duration(5 * time.Minute),
		CheckEvery:  config.Duration(5 * time.Second),
	}
}

// Validate implements config.Section.
func (s *Settings) Validate(report func(key, reason string)) {
	if s.Connections < 0 || s.Connections > maxConnections {
		report("connections", fmt.Sprintf("must be 0, for as many as the workers need, or at most %d, is %d", maxConnections, s.Connections))
	}
	if s.CheckEvery <= 0 {
		report("check_every", fmt.Sprintf("must be more than 0s, is %s", s.CheckEvery))
	}
}
