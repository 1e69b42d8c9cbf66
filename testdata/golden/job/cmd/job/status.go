package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"example.com/job/internal/daemon"
	"example.com/job/internal/process"
)

// status tells whether the daemon runs, and how it does. It looks only: it
// takes no lock and writes nothing.
func (c *call) status() (int, error) {
	flags := c.flags("status")
	ready := flags.Bool("ready", false, fmt.Sprintf("exit with %d unless it is ready", exitNotReady))
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	dirs, err := c.locate()
	if err != nil {
		return exitUnknown, err
	}
	instance, err := process.Find(dirs.Pidfile())
	// That somebody runs is known also to one who may not see who.
	if err != nil && (instance == nil || !errors.Is(err, fs.ErrPermission)) {
		return exitUnknown, err
	}
	defer instance.Close()
	status, text := ask(dirs, instance)
	if !instance.Running && status.State == "" {
		return c.sayDown(dirs, instance), nil
	}
	c.say(result{
		Result: text, PID: status.PID, State: status.State,
		Generation: status.Generation, Status: status,
	})
	if *ready && !status.IsReady() {
		return exitNotReady, nil
	}
	return exitOK, nil
}

// ask has the daemon tell of itself, and puts it into words. Of one that does
// not answer only the pid is known. One that answers though its pidfile was
// removed does run; other commands restore the file, this one only looks.
func ask(dirs process.Dirs, instance *process.Instance) (*daemon.Status, string) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	answer, err := daemon.AskStatus(ctx, dirs)
	if err == nil {
		return &answer, answer.String()
	}
	status := &daemon.Status{Name: name, PID: instance.PID}
	if errors.Is(err, fs.ErrPermission) {
		return status, status.String() + "; only its owner and root can ask it for more"
	}
	return status, status.String() + ", but it does not answer"
}

func (c *call) sayDown(dirs process.Dirs, instance *process.Instance) int {
	r, code := result{Result: "not running", State: daemon.Stopped}, exitStopped
	if instance.Crashed {
		r, code = result{Result: "dead, it did not end cleanly", State: daemon.Crashed}, exitDead
	}
	if why := dirs.WhyGivenUp(); why != "" {
		r.Result += "; the watchdog has given up: " + why
	}
	c.say(r)
	return code
}
