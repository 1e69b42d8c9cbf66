package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/fee/internal/daemon"
	"example.com/fee/internal/process"
)

// Times that apply when no flag gives another.
const (
	startWait     = 30 * time.Second
	stopTimeout   = 30 * time.Second
	reloadTimeout = 10 * time.Second
	statusTimeout = 2 * time.Second
)

func (c *call) start() (int, error) {
	flags := c.flags("start")
	wait := flags.Duration("wait", startWait, "how long to wait until it is ready")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	launch, err := c.launch()
	if err != nil {
		return 0, err
	}
	return c.launchAndSay(launch, *wait)
}

func (c *call) launch() (*daemon.Launch, error) {
	configuration, dirs, err := c.load()
	if err != nil {
		return nil, err
	}
	return &daemon.Launch{Parts: parts(), Configuration: configuration, Dirs: dirs, Warn: c.warn, Inherited: c.inherited}, nil
}

func (c *call) launchAndSay(launch *daemon.Launch, wait time.Duration) (int, error) {
	started, err := launch.Start(context.Background(), wait)
	if err != nil {
		return 0, err
	}
	text := "started (pid %d)"
	if started.Already {
		text = "already running (pid %d)"
	}
	c.say(result{Result: fmt.Sprintf(text, started.PID), PID: started.PID, State: daemon.Ready})
	return exitOK, nil
}

func (c *call) foreground() (int, error) {
	process.IgnoreEarly()
	if err := c.parseArgs(c.flags("foreground")); err != nil {
		return 0, err
	}
	if err := c.allowBuiltIn(); err != nil {
		return 0, err
	}
	launch, err := c.launch()
	if err != nil {
		return 0, err
	}
	return 0, launch.Foreground()
}

func (c *call) stop() (int, error) {
	flags := c.flags("stop")
	timeout := flags.Duration("timeout", stopTimeout, "how long the drain may take")
	noKill := flags.Bool("no-kill", false, "do not kill it at the deadline")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	dirs, err := c.locate()
	if err != nil {
		return 0, err
	}
	if err := dirs.MarkDown(); err != nil {
		return 0, err
	}
	stopped, err := c.end(dirs, *timeout, *noKill)
	if err != nil {
		return 0, err
	}
	text := "not running"
	if stopped.WasRunning {
		text = fmt.Sprintf("stopped (pid %d)", stopped.PID)
	}
	c.say(result{Result: text, PID: stopped.PID, State: daemon.Stopped})
	return exitOK, nil
}

// end stops the daemon; when it had to be killed it says so, with what was
// lost by it as far as the daemon can still tell.
func (c *call) end(dirs process.Dirs, timeout time.Duration, noKill bool) (process.Stopped, error) {
	ctx := context.Background()
	instance, err := daemon.Find(dirs) // and restores the pidfile
	if err != nil {
		return process.Stopped{}, err
	}
	instance.Close()
	var last daemon.Status
	isDraining := func() bool {
		asking, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		last, _ = daemon.AskStatus(asking, dirs)
		return last.State == daemon.Draining
	}
	stopped, err := process.Stop(ctx, dirs.Pidfile(), process.StopOptions{
		Timeout: timeout, NoKill: noKill, IsDraining: isDraining, BeforeKill: func() { isDraining() },
	})
	if err == nil && stopped.Killed {
		printf(c.stderr, "%s: %s: killed after %s, %d jobs unfinished\n",
			name, c.command.name, timeout, last.Queued+last.InFlight)
	}
	return stopped, err
}

func (c *call) restart() (int, error) {
	how, err := c.restartFlags()
	if err != nil {
		return 0, err
	}
	return c.stopAndStart(how)
}

// tryRestart is restart for a daemon that runs, and nothing for one that does
// not.
func (c *call) tryRestart() (int, error) {
	how, err := c.restartFlags()
	if err != nil {
		return 0, err
	}
	dirs, err := c.locate()
	if err != nil {
		return 0, err
	}
	instance, err := daemon.Find(dirs)
	if err != nil {
		return 0, err
	}
	instance.Close()
	if !instance.Running {
		c.say(result{Result: "not running", State: daemon.Stopped})
		return exitOK, nil
	}
	return c.stopAndStart(how)
}

// forceReload is reload, or restart where a change needs that.
func (c *call) forceReload() (int, error) {
	how, err := c.restartFlags()
	if err != nil {
		return 0, err
	}
	code, err := c.reloadWithin(reloadTimeout)
	if !errors.As(err, new(*daemon.RestartError)) {
		return code, err
	}
	return c.stopAndStart(how)
}

// restartOptions say how to stop and start.
type restartOptions struct {
	wait, timeout time.Duration
	noKill        bool
}

func (c *call) restartFlags() (how restartOptions, err error) {
	flags := c.flags(c.command.name)
	flags.DurationVar(&how.wait, "wait", startWait, "how long to wait until it is ready")
	flags.DurationVar(&how.timeout, "timeout", stopTimeout, "how long the drain may take")
	flags.BoolVar(&how.noKill, "no-kill", false, "do not kill it at the deadline")
	err = c.parseArgs(flags)
	return how, err
}

// stopAndStart checks the new configuration first: the service that runs is
// worth more than one that can't start.
func (c *call) stopAndStart(how restartOptions) (int, error) {
	launch, err := c.launch()
	if err != nil {
		return 0, err
	}
	if _, err := c.end(launch.Dirs, how.timeout, how.noKill); err != nil {
		return 0, err
	}
	return c.launchAndSay(launch, how.wait)
}

func (c *call) check() (int, error) {
	if err := c.parseArgs(c.flags("check")); err != nil {
		return 0, err
	}
	configuration, _, err := c.load()
	if err != nil {
		return 0, err
	}
	c.say(result{Result: fmt.Sprintf("%s is valid", configuration.File)})
	return exitOK, nil
}

func (c *call) printVersion() (int, error) {
	if err := c.parseArgs(c.flags("version")); err != nil {
		return 0, err
	}
	if c.json {
		c.say(result{Result: version()})
		return exitOK, nil
	}
	printf(c.stdout, "%s %s\n", name, version())
	return exitOK, nil
}
