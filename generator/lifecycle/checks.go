package lifecycle

// The promises of a daemon, one a row.

// check is a promise, and how to find out whether it is kept.
type check struct {
	group, name string
	needs       state // what the daemon has to be in
	run         func(*driver)
}

// checks are all of them, in order: what others rest on comes first.
func checks() []check {
	return []check{
		{"commands", "start returns when it is ready, and tells its pid", stopped, (*driver).checkStart},
		{"commands", "start of a running one tells who runs", running, (*driver).checkStartAgain},
		{"commands", "starts at the same time make one daemon", stopped, (*driver).checkParallelStarts},
		{"commands", "status exits 3 when it is stopped, 0 when it runs", stopped, (*driver).checkStatus},
		{"commands", "status --json is one object with all it should have", running, (*driver).checkStatusJSON},
		{"commands", "status changes nothing", running, (*driver).checkStatusLooks},
		{"commands", "stop returns when all of it is gone", running, (*driver).checkStop},
		{"commands", "stop of a stopped one is done already", idle, (*driver).checkStopAgain},
		{"commands", "restart makes a new process", running, (*driver).checkRestart},
		{"commands", "restart checks the configuration first", running, (*driver).checkRestartBroken},
		{"commands", "try-restart restarts only one that runs", stopped, (*driver).checkTryRestart},
		{"commands", "reload applies the change, under the same pid", running, (*driver).checkReload},
		{"commands", "reload of a stopped one exits 7", idle, (*driver).checkReloadStopped},
		{"commands", "reload of a broken configuration exits 6 and changes nothing", running, (*driver).checkReloadBroken},
		{"commands", "reload of what needs a restart exits 152 and names it", running, (*driver).checkReloadRestart},
		{"commands", "force-reload restarts where reload can't do", running, (*driver).checkForceReload},
		{"commands", "reopen has the log go on in a new file", running, (*driver).checkReopen},
		{"commands", "upgrade puts a new process in its place", running, (*driver).checkUpgrade},
		{"commands", "upgrade to a broken program changes nothing", running, (*driver).checkUpgradeBroken},
		{"commands", "dump writes the stacks, and it goes on", running, (*driver).checkDump},
		{"commands", "check finds all that is wrong, with its place", idle, (*driver).checkCheck},
		{"commands", "flags count before the environment", stopped, (*driver).checkFlags},
		{"commands", "--quiet prints nothing when all is well", idle, (*driver).checkQuiet},
		{"commands", "version and help answer on stdout", idle, (*driver).checkHelp},
		{"commands", "what can't be understood exits 2", idle, (*driver).checkUsage},

		{"files", "the pidfile holds the pid and is for all to read", stopped, (*driver).checkPidfile},
		{"files", "the pidfile stays, empty, when it stops", running, (*driver).checkPidfileStays},
		{"files", "without the pidfile there is still only one", running, (*driver).checkPidfileRemoved},
		{"files", "nonsense in the pidfile harms nobody", stopped, (*driver).checkPidfileNonsense},
		{"files", "a pidfile that is a link is refused", idle, (*driver).checkPidfileLink},
		{"files", "a run directory that others may write is refused", idle, (*driver).checkRunDirectory},
		{"files", "the control socket is its owner's alone", running, (*driver).checkSocket},
		{"files", "stop leaves a mark to stay down, start removes it", running, (*driver).checkDownMark},

		{"process", "it has a session that it does not lead, no terminal", running, (*driver).checkSession},
		{"process", "its folder is /, its umask as configured", stopped, (*driver).checkSurroundings},
		{"process", "it holds nothing that its starter had open", stopped, (*driver).checkDescriptors},
		{"process", "it blocks no signal, nor ignores what its starter did", stopped, (*driver).checkSignalMasks},
		{"process", "it can gain no rights and leaves no core file", running, (*driver).checkLimits},
		{"process", "all its threads have only the rights of its user", stopped, (*driver).checkRights},
		{"process", "its environment has nothing of its starter's secrets", stopped, (*driver).checkEnvironment},

		{"signals", "HUP reloads", running, (*driver).checkHangUp},
		{"signals", "HUP with a broken configuration changes nothing", running, (*driver).checkHangUpBroken},
		{"signals", "USR1 reopens the log", running, (*driver).checkUserSignal},
		{"signals", "INT, PIPE and those of a terminal do nothing", running, (*driver).checkIgnored},
		{"signals", "TERM stops it cleanly", running, (*driver).checkTerminate},
		{"signals", "a suspended one can be stopped", running, (*driver).checkSuspended},
		{"signals", "after KILL status exits 1, and start works at once", running, (*driver).checkKilled},

		{"failures", "start with a broken configuration exits 6, with its place", idle, (*driver).checkStartBroken},
		{"failures", "start on a taken port exits 1, with the cause", idle, (*driver).checkPortTaken},

		{"foreground", "it tells its supervisor when it is ready, and stopping", stopped, (*driver).checkNotify},
		{"foreground", "the commands know it", stopped, (*driver).checkForegroundKnown},
		{"foreground", "INT stops it", stopped, (*driver).checkForegroundInterrupt},
		{"foreground", "TERM at any moment of its start leaves nothing", stopped, (*driver).checkForegroundEarly},
	}
}
