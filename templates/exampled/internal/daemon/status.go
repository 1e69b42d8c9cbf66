package daemon

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/worker"
)

// State is where a service is in its life.
type State string

// The states of a service, as status shows them. Crashed and stopped are what
// others say of it.
const (
	Starting  State = "starting"
	Ready     State = "ready"
	Reloading State = "reloading"
	Draining  State = "draining"
	Crashed   State = "crashed"
	Stopped   State = "stopped"
)

// serving reports whether the service takes messages.
func (s State) serving() bool { return s == Ready || s == Reloading }

// Status is what the service tells of itself.
type Status struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	State      State             `json:"state"`
	PID        int               `json:"pid"`
	Config     string            `json:"config"`
	Started    time.Time         `json:"started"`
	Uptime     float64           `json:"uptime"`     // seconds
	Generation int               `json:"generation"` // of the configuration: 1, and one more each reload
	Workers    int               `json:"workers"`
	Queued     int               `json:"queued"`
	InFlight   int               `json:"in_flight"`
	Done       uint64            `json:"done"`
	Failed     uint64            `json:"failed"`
	Transports map[string]string `json:"transports"`
	Database   string            `json:"database,omitempty"`
	LogDropped uint64            `json:"log_dropped"`

	LastReloadError string `json:"last_reload_error,omitempty"`
}

// String is the status as a person wants it, on a line.
func (s Status) String() string {
	if s.State == "" {
		return fmt.Sprintf("running (pid %d)", s.PID)
	}
	uptime := time.Duration(s.Uptime * float64(time.Second)).Round(time.Second)
	parts := []string{
		fmt.Sprintf("%s (pid %d)", s.State, s.PID),
		fmt.Sprintf("up %s", uptime),
		fmt.Sprintf("%d workers", s.Workers),
		fmt.Sprintf("%d in flight", s.Queued+s.InFlight),
		fmt.Sprintf("%d done", s.Done),
		fmt.Sprintf("%d failed", s.Failed),
	}
	if s.LastReloadError != "" {
		parts = append(parts, "the last reload failed")
	}
	return strings.Join(parts, ", ")
}

// status takes a snapshot.
func (s *service) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{
		Name:       s.parts.Name,
		Version:    s.parts.Version,
		State:      s.state,
		PID:        os.Getpid(),
		Config:     s.handover.Config,
		Started:    s.started.UTC().Truncate(time.Millisecond),
		Uptime:     time.Since(s.started).Seconds(),
		Generation: s.generation,
		Transports: make(map[string]string),

		LastReloadError: s.lastReloadError,
	}
	if s.configuration != nil {
		status.Database = s.configuration.databaseName
	}
	var stats worker.Stats
	if s.pool != nil {
		stats = s.pool.Stats()
	}
	status.Workers, status.Queued, status.InFlight = stats.Workers, stats.Queued, stats.InFlight
	status.Done, status.Failed = stats.Done, stats.Failed
	for name, t := range s.transports {
		status.Transports[name] = t.Status()
	}
	if s.log != nil {
		status.LogDropped = uint64(s.log.Dropped())
	}
	return status
}
