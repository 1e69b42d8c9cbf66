package daemon

import (
	"context"
	"time"

	"example.com/edm/internal/process"
)

// Find looks who runs, as process.Find does. If the pidfile says that nobody
// does, though a daemon answers, somebody has removed the file: it is restored,
// so that what the caller is about to do has the proof that it needs.
func Find(dirs process.Dirs) (*process.Instance, error) {
	instance, err := process.Find(dirs.Pidfile())
	if err != nil || instance.Running {
		return instance, err
	}
	if !restorePidfile(dirs) {
		return instance, nil
	}
	return process.Find(dirs.Pidfile())
}

// restorePidfile makes a pidfile for the daemon that answers and has lost its
// own, and reports whether it has done so. The daemon itself may have no right to
// write into the run directory.
func restorePidfile(dirs process.Dirs) bool {
	if !answers(dirs) {
		return false
	}
	pidfile, err := process.OpenPidfile(dirs.Pidfile())
	if err != nil {
		return false
	}
	defer func() { _ = pidfile.Close() }()
	ok, err := pidfile.Lock()
	if err != nil || !ok {
		return err == nil // somebody else was faster
	}
	return offerPidfile(dirs, pidfile)
}

// offerPidfile gives the pidfile, locked, to the daemon that listens on the
// control socket, if there is one; it reports whether there is.
func offerPidfile(dirs process.Dirs, pidfile *process.Pidfile) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var answer Answer
	request := process.ControlRequest{Command: askAdopt, File: pidfile.File()}
	err := process.Ask(ctx, dirs, request, &answer)
	return err == nil || ctx.Err() != nil // one that takes its time is one
}

// answers reports whether a daemon answers on the control socket.
func answers(dirs process.Dirs) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := AskStatus(ctx, dirs)
	return err == nil
}
