package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"example.com/edm/internal/daemon"
	"example.com/edm/internal/process"
)

// migrate brings the database up to date. A start does the same; this is for who
// wants it done before, by one process, and without the time limit of a start.
func (c *call) migrate() (int, error) {
	if err := c.parseArgs(c.flags("migrate")); err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	applied, err := c.applyMigrations(ctx)
	text := "migrate: nothing to do"
	switch {
	case errors.Is(err, daemon.ErrNoDatabase):
		text += ", " + err.Error()
	case err != nil:
		return 0, err
	case len(applied) > 0:
		text = fmt.Sprintf("migrate: %d applied: %s", len(applied), strings.Join(applied, ", "))
	}
	c.say(result{Result: text, Applied: applied})
	return exitOK, nil
}

// applyMigrations applies them as whoever the service runs as: this process may
// go over into another one that calls the same command.
func (c *call) applyMigrations(ctx context.Context) ([]string, error) {
	if c.inherited.Stage == process.Delegated {
		return daemon.MigrateDelegated(ctx, parts(), c.inherited, c.warn)
	}
	launch, err := c.launch()
	if err != nil {
		return nil, err
	}
	return launch.Migrate(ctx)
}
