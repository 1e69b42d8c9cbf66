package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/daemon"
	"example.com/feed/internal/process"
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
	return &daemon.Launch{Parts: parts(), Configuration: configuration, Dirs: dirs, Warn: c.warn}, nil
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
	h, err := launch.Foreground()
	if err != nil {
		return 0, err
	}
	return serve(h), nil
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
	var last daemon.Status
	beforeKill := func() {
		asking, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		last, _ = daemon.AskStatus(asking, dirs)
	}
	stopped, err := process.Stop(ctx, dirs.Pidfile(), timeout, noKill, beforeKill)
	if err == nil && stopped.Killed {
		printf(c.stderr, "%s: %s: killed after %s, %d jobs unfinished\n",
			name, c.command.name, timeout, last.Queued+last.InFlight)
	}
	return stopped, err
}

func (c *call) restart() (int, error) {
	flags := c.flags("restart")
	wait := flags.Duration("wait", startWait, "how long to wait until it is ready")
	timeout := flags.Duration("timeout", stopTimeout, "how long the drain may take")
	noKill := flags.Bool("no-kill", false, "do not kill it at the deadline")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	// The new configuration is checked first: the service that runs is worth
	// more than one that can't start.
	launch, err := c.launch()
	if err != nil {
		return 0, err
	}
	if _, err := c.end(launch.Dirs, *timeout, *noKill); err != nil {
		return 0, err
	}
	return c.launchAndSay(launch, *wait)
}

func (c *call) reload() (int, error) {
	flags := c.flags("reload")
	timeout := flags.Duration("timeout", reloadTimeout, "how long to wait for the result")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	dirs, err := c.locate()
	if err != nil {
		return 0, err
	}
	instance, err := process.Find(dirs.Pidfile())
	if instance == nil {
		return 0, err
	}
	defer instance.Close()
	if !instance.Running {
		return exitNotRunning, errors.New("not running")
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	text, err := checkFileOf(ctx, dirs)
	if err != nil {
		return 0, err
	}
	answer, err := daemon.AskReload(ctx, dirs, text)
	if err != nil {
		return exitFailed, fmt.Errorf("the result is not known: %w", err)
	}
	if err := answer.Err(); err != nil {
		return answer.Code, err
	}
	c.say(result{
		Result: fmt.Sprintf("reloaded (pid %d, generation %d)", answer.PID, answer.Generation),
		PID:    answer.PID, State: answer.State, Generation: answer.Generation,
	})
	return exitOK, nil
}

// checkFileOf checks the file that the running daemon has its configuration
// from, so that a broken one is not even sent to it, and returns the text. What
// the caller may not read is left to the daemon: nil.
func checkFileOf(ctx context.Context, dirs process.Dirs) ([]byte, error) {
	status, err := daemon.AskStatus(ctx, dirs)
	if err != nil || status.Config == "" {
		return nil, err
	}
	text, err := config.Read(status.Config)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err == nil {
		_, err = daemon.LoadConfiguration(parts(), status.Config, text)
	}
	return text, err
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
