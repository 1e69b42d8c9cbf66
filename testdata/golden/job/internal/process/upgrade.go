package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// Successor is a process that is to take over from this one, which goes on as it
// was until the other is ready.
type Successor struct {
	PID     int
	process *os.Process
	ended   chan struct{} // closed when it has
}

// Program is an executable file to upgrade to.
type Program struct {
	Path string
	File *os.File // the same, open, where this user may not reach the path; or nil
}

// Inheritance is what a daemon leaves to its successor, besides what h says.
type Inheritance struct {
	Pidfile       *Pidfile
	Control       *Control
	Notifier      *Notifier
	Sockets       *Sockets
	Configuration *ConfigFile
	Secrets       *SecretFiles
	Generation    int // of the configuration, as the successor begins
	Predecessors  []*Process
}

// Upgrade starts the program as the successor of this process, which h has made
// the daemon, and returns when it is ready. Everything is shared until then: the
// lock, the listening sockets, the control socket. If the successor dies, or is
// not ready when ctx ends, it is ended with all that it has started, and the
// error says why: *DiedError, ErrNotReady, or that of the system.
func (h *Handover) Upgrade(ctx context.Context, to Program, env []string, left Inheritance) (*Successor, error) {
	next := &Handover{
		Stage: h.Stage, Program: to.Path, Config: h.Config, Dirs: h.Dirs, Umask: h.Umask, User: h.User,
		Rights: h.Rights, Settings: h.Settings, Watchdog: h.Watchdog,
		Upgraded: true, Generation: left.Generation, Kept: h.Kept || h.StaysWhenReplaced(left.Notifier),
	}
	defer next.Close()
	for _, p := range left.Pidfile.Draining(left.Predecessors) {
		next.Predecessors = append(next.Predecessors, p.PID)
	}
	next.Predecessors = append(next.Predecessors, os.Getpid())
	if err := left.handOn(next); err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = read.Close() }()
	next.Add(fdReady, write)
	stderr := write // what it says last is the cause of its death
	if h.Stage == Foreground {
		stderr = os.Stderr
	}
	successor, err := next.succeed(to, env, stderr)
	_ = write.Close()
	next.Take(fdReady)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", to.Path, err)
	}
	giveUp := context.AfterFunc(ctx, successor.kill)
	report, err := awaitReport(read, time.Hour)
	if !giveUp() {
		err = ErrNotReady
		if errors.Is(ctx.Err(), context.Canceled) {
			err = errors.New("given up, since the service is to stop")
		}
	}
	if err != nil {
		successor.end()
		return nil, err
	}
	successor.PID = report.PID
	return successor, nil
}

func (left Inheritance) handOn(h *Handover) error {
	for _, part := range []interface{ handOn(h *Handover) error }{
		left.Pidfile, left.Control, left.Notifier, left.Sockets, left.Configuration, left.Secrets,
	} {
		if err := part.handOn(h); err != nil {
			return err
		}
	}
	return nil
}

// succeed starts the program in a process group of its own: with the one that it
// replaces it shares the session, but not the end.
func (h *Handover) succeed(to Program, env []string, stderr *os.File) (*Successor, error) {
	path := to.Path
	if _, err := exec.LookPath(path); err != nil && to.File != nil {
		file, err := duplicateFile(to.File)
		if err != nil {
			return nil, err
		}
		h.Add(fdProgram, file)
		path = fmt.Sprintf("/proc/self/fd/%d", firstHanded+len(h.files))
	}
	process, err := h.spawn(path, env, stderr, &syscall.SysProcAttr{Setpgid: true})
	if err != nil {
		return nil, err
	}
	s := &Successor{PID: process.Pid, process: process, ended: make(chan struct{})}
	go func() {
		_, _ = process.Wait()
		close(s.ended)
	}()
	return s, nil
}

// end ends the successor at once, with everything in its process group.
func (s *Successor) end() {
	s.kill()
	select {
	case <-s.ended:
	case <-time.After(releaseTime):
	}
}

// OpenPredecessors returns handles of the processes before this one that are
// still there, and hold the lock of the pidfile as well.
func (h *Handover) OpenPredecessors(pidfile *Pidfile) []*Process {
	var there []*Process
	for _, pid := range h.Predecessors {
		if p, err := openHolder(pid, pidfile.file); err == nil {
			there = append(there, p)
		}
	}
	return there
}

func (s *Successor) kill() {
	select {
	case <-s.ended: // its pid may be another's by now
	default:
		_ = syscall.Kill(-s.process.Pid, syscall.SIGKILL)
	}
}

// Stop tells the successor to stop.
func (s *Successor) Stop() error {
	err := s.process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// StaysWhenReplaced reports whether this process has to stay when another takes
// over: its supervisor takes its end for that of the service. Only one that is
// told of the other's pid does not.
func (h *Handover) StaysWhenReplaced(notifier *Notifier) bool {
	return h.Stage == Foreground && !h.Upgraded && (notifier == nil || os.Getpid() == 1)
}

// Draining returns those of the predecessors that are still the daemon for some
// peers: they hold the lock. One that only stands in has released it.
func (p *Pidfile) Draining(predecessors []*Process) []*Process {
	if len(predecessors) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var still []*Process
	for _, predecessor := range predecessors {
		holds, err := holdsLock(predecessor.PID, p.file)
		if !predecessor.ended(0) && (holds || err != nil) {
			still = append(still, predecessor)
		}
	}
	return still
}

// StandIn is what a process does that a supervisor has started, when it was
// replaced: it passes on the signals that it gets to whoever is the daemon, and
// returns when there is none any more: nil if the last one has ended cleanly.
func (h *Handover) StandIn(signals Signals) error {
	ended := make(chan error, 1)
	go func() { ended <- awaitLast(h.Dirs.Pidfile()) }()
	reap := time.NewTicker(time.Second)
	defer reap.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-reap.C:
			Reap()
		case <-signals.Stop:
			h.passOn(syscall.SIGTERM)
		case <-signals.Reload:
			h.passOn(syscall.SIGHUP)
		case <-signals.Reopen:
			h.passOn(syscall.SIGUSR1)
		case <-signals.Upgrade:
			h.passOn(syscall.SIGUSR2)
		}
	}
}

func (h *Handover) passOn(signal syscall.Signal) {
	instance, err := Find(h.Dirs.Pidfile())
	if err != nil {
		return
	}
	defer instance.Close()
	if instance.Process != nil {
		_ = instance.Process.Signal(signal)
	}
}

// awaitLast returns when nobody holds the lock of the pidfile any more.
func awaitLast(pidfile string) error {
	for {
		instance, err := Find(pidfile)
		if err != nil {
			return err
		}
		if !instance.Running {
			if instance.Crashed {
				return errors.New("the process that took over did not end cleanly")
			}
			return nil
		}
		if instance.Process == nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		_ = instance.Process.Wait(context.Background())
		instance.Close()
		time.Sleep(2 * time.Millisecond) // the kernel takes back what it held
	}
}
