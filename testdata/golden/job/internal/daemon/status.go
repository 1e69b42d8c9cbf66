package daemon

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"example.com/job/internal/database"
	"example.com/job/internal/worker"
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
	Ready      bool              `json:"ready"`               // see IsReady
	NotReady   []string          `json:"not_ready,omitempty"` // what it waits for and can't serve without, in words
	Program    string            `json:"program"`             // absolute path, as it was started
	Config     string            `json:"config"`
	Started    time.Time         `json:"started"`
	Uptime     float64           `json:"uptime"`     // seconds
	Generation int               `json:"generation"` // of the configuration: 1, and one more each reload
	Workers    int               `json:"workers"`
	Queued     int               `json:"queued"`
	InFlight   int               `json:"in_flight"`
	Done       uint64            `json:"done"`
	Failed     uint64            `json:"failed"`
	Transports map[string]string `json:"transports"`         // what each is doing
	Database   string            `json:"database,omitempty"` // its name, and: connected, busy, not reachable
	Letters    int               `json:"dead_letters"`       // messages that failed for good and are kept
	LogDropped uint64            `json:"log_dropped"`
	Replaced   int               `json:"replaced,omitempty"` // processes from before an upgrade that serve their last peers

	LastReloadError string `json:"last_reload_error,omitempty"`
}

// IsReady reports whether the service takes messages and, as far as it knows, has
// all that it needs to handle them.
func (s Status) IsReady() bool { return s.State.serving() && len(s.NotReady) == 0 }

// String is the status as a person wants it, on a line.
func (s Status) String() string {
	if s.State == "" {
		return fmt.Sprintf("running (pid %d)", s.PID)
	}
	uptime := time.Duration(s.Uptime * float64(time.Second)).Round(time.Second)
	parts := append(s.headline(),
		fmt.Sprintf("up %s", uptime),
		fmt.Sprintf("%d workers", s.Workers),
		fmt.Sprintf("%d in flight", s.Queued+s.InFlight),
		fmt.Sprintf("%d done", s.Done),
		fmt.Sprintf("%d failed", s.Failed),
	)
	if s.Letters == 1 {
		parts = append(parts, "1 dead letter")
	} else if s.Letters > 1 {
		parts = append(parts, fmt.Sprintf("%d dead letters", s.Letters))
	}
	if s.LastReloadError != "" {
		parts = append(parts, "the last reload failed")
	}
	return strings.Join(parts, ", ")
}

// headline is the state, and why that is not what one wants it to be.
func (s Status) headline() []string {
	why := strings.Join(s.NotReady, ", ")
	switch {
	case why == "":
		return []string{fmt.Sprintf("%s (pid %d)", s.State, s.PID)}
	case s.State.serving():
		return []string{fmt.Sprintf("running (pid %d)", s.PID), "not ready: " + why}
	}
	return []string{fmt.Sprintf("%s (pid %d)", s.State, s.PID), why}
}

// status takes a snapshot.
func (s *service) status() Status {
	status, db := s.snapshot()
	if db != nil {
		status.Database += ", " + s.databaseState(db)
	}
	status.Letters = s.countLetters()
	return status
}

// databaseState says how the database does. It is not asked while it is known to
// be away, and checked soon if it turns out to be.
func (s *service) databaseState(db *database.DB) string {
	if s.health.isAway() {
		return notReachable
	}
	state := stateOf(db)
	if state == notReachable {
		s.health.unavailable()
	}
	return state
}

const notReachable = "not reachable"

// pingLimit is how long a database may take to be called connected. All its
// connections may be in use for longer than that.
const pingLimit = 100 * time.Millisecond

// stateOf says how the database does. The words of an error are left to the log:
// they may tell more than everybody who asks for the status may know.
func stateOf(db *database.DB) string {
	ctx, cancel := context.WithTimeout(context.Background(), pingLimit)
	defer cancel()
	switch err := db.PingContext(ctx); {
	case err == nil:
		return "connected"
	case ctx.Err() != nil:
		return "busy"
	default:
		return notReachable
	}
}

// snapshot is what is known without asking anybody, and the database, if any.
func (s *service) snapshot() (Status, *database.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{
		Name:       s.parts.Name,
		Version:    s.parts.Version,
		State:      s.state,
		PID:        os.Getpid(),
		Program:    s.handover.Program,
		Config:     s.handover.Config,
		Started:    s.started.UTC().Truncate(time.Millisecond),
		Uptime:     time.Since(s.started).Seconds(),
		Generation: s.generation,
		Transports: make(map[string]string),

		LastReloadError: s.lastReloadError,
	}
	status.NotReady = s.notReady()
	status.Ready = status.IsReady()
	if s.configuration != nil {
		status.Database = s.configuration.databaseName
	}
	var stats worker.Stats
	if s.pool != nil {
		stats = s.pool.Stats()
	}
	status.Workers, status.Queued, status.InFlight = stats.Workers, stats.Queued, stats.InFlight
	status.Done, status.Failed = stats.Done, stats.Failed
	if len(s.predecessors) > 0 {
		status.Replaced = len(s.pidfile.Draining(s.predecessors))
	}
	for name, t := range s.transports {
		status.Transports[name] = t.Status()
	}
	if s.log != nil {
		status.LogDropped = uint64(s.log.Dropped())
	}
	return status, s.db
}
