package process

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// Signals are the requests that reach the daemon as signals. Repeated ones that
// wait for the same answer are one.
type Signals struct {
	Stop    <-chan os.Signal // TERM; in the foreground also INT. A second one: at once
	Reload  <-chan os.Signal // HUP
	Reopen  <-chan os.Signal // USR1
	Upgrade <-chan os.Signal // USR2
}

// Notify takes over the signals of this process. It must stand before anything
// slow, since a HUP or USR1 that finds no handler ends the process.
func Notify(foreground bool) Signals {
	// The runtime waits for signals on a thread of which it blocks all signals.
	// This is the main thread, whose mask is shown as that of the process: it
	// must not be the one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stop := make(chan os.Signal, 2)
	reload := make(chan os.Signal, 1)
	reopen := make(chan os.Signal, 1)
	upgrade := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(reopen, syscall.SIGUSR1)
	signal.Notify(upgrade, syscall.SIGUSR2)
	// These are taken and dropped, not ignored: what is ignored stays so in every
	// program that a job starts. A closed pipe behind the log must not end the
	// service, nor a terminal suspend it.
	dropped := make(chan os.Signal, 1)
	signal.Notify(dropped, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGTSTP)
	if foreground {
		signal.Notify(stop, syscall.SIGINT)
	} else {
		signal.Notify(dropped, syscall.SIGINT)
	}
	return Signals{Stop: stop, Reload: reload, Reopen: reopen, Upgrade: upgrade}
}

// IgnoreEarly has a request that comes too early do nothing instead of ending
// the process: from now on, and in a program executed from here until it calls
// Notify. Nothing is lost by it, since the configuration is read after that.
func IgnoreEarly() {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
}
