package main

// The commands that ask something of the daemon that runs.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"example.com/job/internal/config"
	"example.com/job/internal/daemon"
	"example.com/job/internal/process"
)

var errNotRunning = errors.New("not running")

// errUnknownResult says that the daemon was asked, and did not answer in time.
func errUnknownResult(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no answer in time")
	}
	return fmt.Errorf("the result is not known: %w", err)
}

// findRunning returns where the daemon is that runs.
func (c *call) findRunning() (process.Dirs, error) {
	dirs, err := c.locate()
	if err != nil {
		return dirs, err
	}
	instance, err := daemon.Find(dirs)
	if instance == nil {
		return dirs, err
	}
	instance.Close()
	if !instance.Running {
		return dirs, errNotRunning
	}
	return dirs, nil
}

func (c *call) reload() (int, error) {
	flags := c.flags("reload")
	timeout := flags.Duration("timeout", reloadTimeout, "how long to wait for the result")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	return c.reloadWithin(*timeout)
}

func (c *call) reloadWithin(timeout time.Duration) (int, error) {
	dirs, err := c.findRunning()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	status, err := daemon.AskStatus(ctx, dirs)
	if err != nil {
		return 0, err
	}
	files, err := c.openFilesOf(status.Config)
	if err != nil {
		return 0, err
	}
	defer closeAll(files)
	answer, err := daemon.AskReload(ctx, dirs, files)
	if err != nil {
		return exitFailed, errUnknownResult(err)
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

// openFilesOf opens the files of the configuration of the running daemon, those of
// secrets as well, by path, and checks what they hold, so that a broken one is not
// even sent to it. What the caller may not read is left to the daemon.
//
// The daemon says which file it is. So the secrets are left to it as well, unless
// the caller means that file too: nobody must have root read him the files of
// others (pitfall 8). For the same reason what is sent is what was checked, and not
// opened once more.
func (c *call) openFilesOf(file string) (map[string]*os.File, error) {
	if file == "" {
		return nil, nil
	}
	opened, err := config.Open(file)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, config.Unreadable(file, err)
	}
	files := map[string]*os.File{file: opened}
	text, err := config.ReadOpen(opened, config.MaxFile)
	if err != nil {
		closeAll(files)
		return nil, config.Unreadable(file, err)
	}
	parts := parts()
	if c.means(file) {
		parts.ReadSecret = func(path string) ([]byte, error) { return readAndKeep(files, path) }
	}
	if _, err := daemon.LoadConfiguration(parts, file, text); err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

// readAndKeep reads the file of a secret and leaves it open, in files.
func readAndKeep(files map[string]*os.File, path string) ([]byte, error) {
	secret, err := config.Open(path)
	if err != nil {
		return nil, err
	}
	if files[path] == nil {
		files[path] = secret
	} else {
		defer func() { _ = secret.Close() }()
	}
	return config.ReadOpen(secret, config.MaxSecret)
}

func closeAll(files map[string]*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

// means reports whether the caller would have named this configuration file.
func (c *call) means(file string) bool {
	mine, _, err := c.configFile()
	return err == nil && mine == file
}

func (c *call) reopen() (int, error) {
	flags := c.flags("reopen")
	timeout := flags.Duration("timeout", reloadTimeout, "how long to wait for the result")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	dirs, err := c.findRunning()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	answer, err := daemon.AskReopen(ctx, dirs)
	if err != nil {
		return exitFailed, errUnknownResult(err)
	}
	if err := answer.Err(); err != nil {
		return answer.Code, err
	}
	c.say(result{
		Result: fmt.Sprintf("reopened the log (pid %d)", answer.PID),
		PID:    answer.PID, State: answer.State, Generation: answer.Generation,
	})
	return exitOK, nil
}

// dump writes what all goroutines of the daemon are doing to a file. The caller
// makes the file: the daemon may not be allowed to, in the run directory.
func (c *call) dump() (int, error) {
	if err := c.parseArgs(c.flags("dump")); err != nil {
		return 0, err
	}
	dirs, err := c.findRunning()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	answer, err := daemon.AskDump(ctx, dirs)
	if err != nil {
		return exitFailed, errUnknownResult(err)
	}
	if err := answer.Err(); err != nil {
		return answer.Code, err
	}
	path := filepath.Join(dirs.Run, fmt.Sprintf("%s-%d-%s.dump", name, answer.PID, time.Now().Format("20060102T150405.000")))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = file.Write(answer.Stacks)
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(path))
	}
	c.say(result{Result: path, PID: answer.PID, State: answer.State, Generation: answer.Generation})
	return exitOK, nil
}

func (c *call) upgrade() (int, error) {
	flags := c.flags("upgrade")
	binary := flags.String("binary", "", "the executable `file` to go on with; by default that which was started")
	wait := flags.Duration("wait", startWait, "how long to wait until it is ready")
	if err := c.parseArgs(flags); err != nil {
		return 0, err
	}
	dirs, err := c.findRunning()
	if err != nil {
		return 0, err
	}
	// The daemon bounds the wait, and ends what is not ready by then.
	const grace = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), *wait+grace)
	defer cancel()
	status, err := daemon.AskStatus(ctx, dirs)
	if err != nil {
		return exitFailed, err
	}
	to, err := openProgram(*binary, status.Program)
	if err != nil {
		return exitFailed, err
	}
	defer func() { _ = to.File.Close() }()
	if code, err := checkWith(ctx, to.Path, status.Config, *wait); err != nil {
		return code, err
	}
	// This may be the program that is replaced, which need not know what is in the
	// configuration by now: then the files are those that the daemon has.
	files, _ := c.openFilesOf(status.Config)
	defer closeAll(files)
	answer, err := daemon.AskUpgrade(ctx, dirs, to, files, *wait)
	if err != nil {
		return exitFailed, errUnknownResult(err)
	}
	if err := answer.Err(); err != nil {
		return exitFailed, err
	}
	c.say(result{
		Result: fmt.Sprintf("upgraded (pid %d -> %d)", answer.PID, answer.Successor),
		PID:    answer.Successor, State: daemon.Ready,
	})
	return exitOK, nil
}

// openProgram opens the named executable, or that which the daemon was started
// from. The daemon gets it open, for its user may not reach it.
func openProgram(named, started string) (to process.Program, err error) {
	to.Path = started
	if named != "" {
		if to.Path, err = filepath.Abs(named); err != nil {
			return to, err
		}
	}
	if _, err := exec.LookPath(to.Path); err != nil {
		return to, errors.Unwrap(err)
	}
	to.File, err = os.Open(to.Path)
	return to, err
}

// checkWith has the new program check the configuration before it is started.
func checkWith(ctx context.Context, program, configuration string, wait time.Duration) (code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var said bytes.Buffer
	check := exec.CommandContext(ctx, program, "--config", configuration, "check")
	check.Stdout, check.Stderr, check.WaitDelay = &said, &said, time.Second
	err = check.Run()
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return exitFailed, fmt.Errorf("%s check: no answer after %s", program, wait)
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == exitConfig {
		return exitConfig, fmt.Errorf("%s check: %s", program, strings.TrimSpace(said.String()))
	}
	text := strings.TrimSpace(fmt.Sprintf("%v %s", err, said.String()))
	return exitFailed, fmt.Errorf("%s check: %s", program, text)
}
