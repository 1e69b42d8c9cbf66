package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"example.com/feed/internal/process"
)

// ErrNoDatabase means that the service has none.
var ErrNoDatabase = errors.New("the service has no database")

// Migrate brings the database up to date, whether the daemon runs or not, and
// returns the names of the migrations that it has applied. It waits for the
// database as a start does. Called by root, it does not return: this process goes
// on as the same command of the service's user, for files of root would be in the
// way of the service; there it is MigrateDelegated.
func (l *Launch) Migrate(ctx context.Context) (applied []string, err error) {
	if l.Configuration.Database == nil {
		return nil, ErrNoDatabase
	}
	h := &process.Handover{}
	defer h.Close()
	warnings, err := l.describe(h)
	if err != nil {
		return nil, err
	}
	for _, warning := range warnings {
		l.Warn(warning)
	}
	if h.User == nil {
		return l.migrate(ctx)
	}
	if err := l.addFiles(h); err != nil {
		return nil, err
	}
	return nil, h.Exec(process.Delegated, l.environ(h))
}

// MigrateDelegated is Migrate in the process that h was handed to.
func MigrateDelegated(ctx context.Context, parts Parts, h *process.Handover, warn func(message string)) (applied []string, err error) {
	if err := h.Verify(); err != nil {
		return nil, err
	}
	parts.LookupEnv = h.LookupEnv
	c, err := newSource(parts, h).read()
	if err != nil {
		return nil, err
	}
	l := &Launch{Parts: parts, Configuration: c, Dirs: h.Dirs, Warn: warn}
	return l.migrate(ctx)
}

func (l *Launch) migrate(ctx context.Context) (applied []string, err error) {
	syscall.Umask(int(l.Configuration.Daemon.Umask))
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := opener{l.Parts.Name, l.Dirs.State, l.Configuration, log}
	db, applied, err := o.await(ctx, func(err error) {
		l.Warn(fmt.Sprintf("waiting %s for the database: %v", l.Configuration.DatabaseSettings.Wait, err))
	})
	if err == nil {
		err = db.Close()
	}
	if err != nil && len(applied) > 0 {
		err = fmt.Errorf("%w (applied before that: %s)", err, strings.Join(applied, ", "))
	}
	return applied, err
}
