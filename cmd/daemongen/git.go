package main

// The repository of a fresh project. This is the only other program that
// daemongen runs.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// repository makes a git repository of the project in dir, as --git says: none,
// init, or commit. Whatever becomes of it, the project is in place.
func repository(ctx context.Context, dir, want string) error {
	var steps [][]string
	switch want {
	case "init":
		steps = [][]string{{"init", "--quiet"}}
	case "commit":
		steps = [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "--message", "daemongen new"}}
	}
	for _, args := range steps {
		err := git(ctx, dir, args...)
		var signalled *interrupted
		switch {
		case errors.As(err, &signalled):
			return fmt.Errorf("%w in git %s; the project in %q is complete", err, args[0], dir)
		case err != nil:
			return &commandError{exitFailed,
				fmt.Sprintf("the project in %q is complete, but git %s failed: %v", dir, args[0], err),
				"in the project, type: " + commandLine(append([]string{"git"}, args...)...)}
		}
	}
	return nil
}

// git runs git in dir. Its error is what git says, in one line.
func git(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), ofAnotherRepository)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case len(out) > 0:
		return errors.New(strings.Join(strings.Fields(string(out)), " "))
	}
	return err
}

// ofAnotherRepository tells whether a variable of the environment leads git to
// a repository that it would not find by itself, as in a hook of that one.
func ofAnotherRepository(variable string) bool {
	name, _, _ := strings.Cut(variable, "=")
	switch name {
	case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX":
		return true
	}
	return false
}
