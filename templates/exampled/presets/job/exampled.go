// Package exampled is the work of the service: a job, which is run again and again.
//
// This file and its test are yours. They need nothing but the standard library,
// and daemongen never touches them again.
package exampled

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Job is what the service does.
type Job interface {
	// Run does it once. The next run begins when the time has come that the section
	// [transport.timer] says, and never before this one has ended: after an error a
	// little later each time. Run has to return when ctx ends: the service stops, or
	// the run has taken longer than worker.timeout.
	Run(ctx context.Context, settings *Settings) error
}

// jobs are those that the service can run, by the name that job.name has in the
// configuration. Put yours here.
var jobs = map[string]Job{
	"test": Test{},
}

// Test is a job that shows how one looks.
type Test struct{}

// Run implements Job.
func (Test) Run(ctx context.Context, settings *Settings) error {
	for range settings.Job.Steps {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settings.Job.Step):
			slog.Info("test", "db.host", settings.DB.Host, "db.port", settings.DB.Port)
		}
	}
	return nil
}

// Settings are sections of your own in the configuration: one a field, with a key
// for each field of its struct. A key is a string, number, bool, time.Duration ("30s"),
// a list of them, or a type that reads itself by UnmarshalText.
type Settings struct {
	Job struct {
		Name  string        `toml:"name"`
		Steps int           `toml:"steps"`
		Step  time.Duration `toml:"step"`
	} `toml:"job"`

	DB struct {
		Host string `toml:"host"`
		Port int    `toml:"port"`
		User string `toml:"user"`
	} `toml:"db"`
}

// DefaultSettings returns the values of the keys that a configuration leaves out.
func DefaultSettings() *Settings {
	s := &Settings{}
	s.Job.Name, s.Job.Steps, s.Job.Step = "test", 3, time.Second
	s.DB.Host, s.DB.Port = "192.168.0.1", 3306
	return s
}

// Validate reports what is wrong with the settings.
func (s *Settings) Validate(report func(key, reason string)) {
	if jobs[s.Job.Name] == nil {
		known := slices.Sorted(maps.Keys(jobs))
		report("job.name", fmt.Sprintf("must be one of %s, is %q", strings.Join(known, ", "), s.Job.Name))
	}
	if s.Job.Steps < 0 {
		report("job.steps", fmt.Sprintf("must be at least 0, is %d", s.Job.Steps))
	}
	if s.Job.Step < 0 {
		report("job.step", fmt.Sprintf("must be at least 0s, is %s", s.Job.Step))
	}
	if s.DB.Port < 1 || s.DB.Port > 65535 {
		report("db.port", fmt.Sprintf("must be 1 to 65535, is %d", s.DB.Port))
	}
}

// Database is what the handler would use of a database, as *sql.DB has it.
type Database interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Handler runs the job.
type Handler struct {
	settings atomic.Pointer[Settings]
}

// New returns the handler. After an error the service does not start, and says why.
// What is logged with log/slog goes to the log of the service.
func New(db Database, settings *Settings) (*Handler, error) {
	h := &Handler{}
	return h, h.Reload(settings)
}

// Reload takes other settings, which hold from the next run on, and logs them.
func (h *Handler) Reload(settings *Settings) error {
	h.settings.Store(settings)
	slog.Info("settings", "job", settings.Job.Name, "db.host", settings.DB.Host, "db.port", settings.DB.Port, "db.user", settings.DB.User)
	return nil
}

// Handle runs the job once. The message is that of the section [transport.timer].
func (h *Handler) Handle(ctx context.Context, message []byte) ([]byte, error) {
	settings := h.settings.Load()
	slog.Info("the job begins", "job", settings.Job.Name)
	began := time.Now()
	if err := jobs[settings.Job.Name].Run(ctx, settings); err != nil {
		return nil, fmt.Errorf("job %s: %w", settings.Job.Name, err)
	}
	slog.Info("the job ends", "job", settings.Job.Name, "took", time.Since(began).Round(time.Millisecond))
	return []byte("TRUE"), nil
}
