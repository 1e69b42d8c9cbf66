#!/bin/sh
# Keeps job running on a machine without systemd, whose own supervision
# deploy/job.service asks for. It looks at the daemon each interval, starts
# one that is down, and restarts one that is up but does not serve. One that is
# starting or draining is left alone, and one that waits for what it depends on,
# such as a database, which no restart would bring back; and so is one that
# "job stop" has ended, until "job start".
#
# It runs until it is sent TERM, INT or HUP, which do nothing to the daemon, or
# gives up. It needs a POSIX shell and its tools, in any implementation, busybox
# for one; flock(1) and timeout(1) make it better. All that it knows of the
# daemon, and all that it does to it, goes through the commands of job: it
# reads no pidfile, sends no signal to the daemon, and takes no file's age for a
# sign of life.
#
# No clock is read, so it does not matter where one jumps to: time is what the
# watchdog has slept.
set -u

name=job
self=$name-watchdog
binary=/usr/local/bin/$name
config=
run_dir=

interval=5s       # between two looks
probe_timeout=10s # after which no answer is a failed probe; "status" itself takes up to 2 s
patience=30s      # for the daemon to be ready
backoff=1s        # pause before the second start; each one doubles it
backoff_max=60s   # its limit; the daemon being ready for so long sets it back
window=10m        # in which max_starts are enough

probes=3      # failed ones in a row that make a restart
max_starts=10 # starts and restarts in a window after which it gives up

usage() {
	cat <<END
usage: $self.sh [flags]

flags, with what they are by default; a time is a number with ms, s or m:
  --binary $binary
  --config FILE          as of $name; what $name takes by default
  --run-dir DIRECTORY    as of $name; what $name says
  --interval $interval          between two looks at the daemon
  --probe-timeout $probe_timeout    after which a look has failed; rounded up to seconds
  --wait $patience             for the daemon to be ready, see "$name help start"
  --backoff $backoff           the shortest pause between two starts
  --backoff-max $backoff_max      the longest, and how long it takes to be well again
  --window $window           gives up after $max_starts starts in so long

exit code: 0 ended by a signal, or another watchdog is there already; 1 gave up,
and $name.gaveup in the run directory tells; 2 usage; 4 not permitted;
5 $name is missing; 6 the run directory is not known
END
}

# say TEXT: a line of the log.
say() {
	printf '%s %s: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$self" "$1" >&2
}

# fail CODE TEXT: the end of one that has not watched yet.
fail() {
	printf '%s: %s\n' "$self" "$2" >&2
	exit "$1"
}

absolute() {
	case $1 in
	/*) printf '%s\n' "$1" ;;
	*) printf '%s\n' "${PWD%/}/$1" ;;
	esac
}

# milliseconds DURATION: the number of them.
milliseconds() {
	number=${1%%[!0-9]*}
	case $number in
	'' | 0* | ???????*) return 1 ;; # a leading zero would make it octal
	esac
	case ${1#"$number"} in
	ms) echo "$number" ;;
	s) echo $((number * 1000)) ;;
	m) echo $((number * 60000)) ;;
	*) return 1 ;;
	esac
}

# seconds MILLISECONDS: as sleep(1) takes them. Every sleep takes whole ones;
# fractions are for tests.
seconds() {
	case $1 in
	*000) echo $(($1 / 1000)) ;;
	*) printf '%d.%03d\n' $(($1 / 1000)) $(($1 % 1000)) ;;
	esac
}

read_flags() {
	while [ $# -gt 0 ]; do
		flag=$1
		shift
		case $flag in
		-h | --help)
			usage
			exit 0
			;;
		--*=*)
			set -- "${flag#*=}" "$@"
			flag=${flag%%=*}
			;;
		esac
		[ $# -gt 0 ] || refuse "$flag: no such flag, or its value is missing"
		value=$1
		shift
		case $flag in
		--binary) binary=$(absolute "$value") ;;
		--config) config=$(absolute "$value") ;;
		--run-dir) run_dir=$(absolute "$value") ;;
		--interval) interval=$value ;;
		--probe-timeout) probe_timeout=$value ;;
		--wait) patience=$value ;;
		--backoff) backoff=$value ;;
		--backoff-max) backoff_max=$value ;;
		--window) window=$value ;;
		*) refuse "$flag: no such flag" ;;
		esac
	done
	milliseconds "$patience" >/dev/null || refuse_time --wait "$patience"
	interval=$(milliseconds "$interval") || refuse_time --interval "$interval"
	probe_timeout=$(milliseconds "$probe_timeout") || refuse_time --probe-timeout "$probe_timeout"
	backoff=$(milliseconds "$backoff") || refuse_time --backoff "$backoff"
	backoff_max=$(milliseconds "$backoff_max") || refuse_time --backoff-max "$backoff_max"
	window=$(milliseconds "$window") || refuse_time --window "$window"
}

refuse() {
	printf '%s: %s\n' "$self" "$1" >&2
	usage >&2
	exit 2
}

refuse_time() {
	refuse "$1: must be a time, such as 500ms, 5s or 10m"
}

# daemon [FLAGS] COMMAND [FLAGS]: calls the program. All calls name the same run
# directory, so that what is watched can't move away from the lock and the marks
# that are there.
daemon() {
	# shellcheck disable=SC2086 # a command and its arguments, or nothing
	$within "$binary" ${config:+--config "$config"} ${run_dir:+--run-dir "$run_dir"} "$@"
}

# find_run_dir has the program tell where it keeps its pidfile, so that there is
# one rule for it, and makes sure that nobody else could put a lock or a mark
# there.
find_run_dir() {
	if [ -z "$run_dir" ]; then
		run_dir=$(daemon --json status 2>/dev/null | sed -n 's/.*"run_dir":"\([^"\\]*\)".*/\1/p')
	fi
	if [ -z "$run_dir" ]; then
		daemon check >&2
		fail 6 "$name does not tell its run directory (hint: name it with --run-dir)"
	fi
	umask 022
	mkdir -p "$run_dir" || fail 4 "run directory $run_dir can't be made"
	ours=$(find "$run_dir/." -prune \( -user 0 -o -user "$(id -u)" \) ! -perm -020 ! -perm -002)
	[ -n "$ours" ] || fail 4 "run directory $run_dir may be written by others"
	down_mark=$run_dir/$name.down
	gave_up=$run_dir/$name.gaveup
}

# lock makes this the only watchdog of the run directory. The lock is on
# descriptor 9, which nothing that is started from here inherits: it ends with
# this process, however that ends.
lock() {
	if ! command -v flock >/dev/null; then
		lock_without_flock
		return
	fi
	umask 077 # else anybody could open it, and lock it
	(: >>"$run_dir/$name.watchdog") 2>/dev/null || fail 4 "$run_dir/$name.watchdog can't be written"
	exec 9>>"$run_dir/$name.watchdog"
	umask 022
	flock -n 9 || already
}

# lock_without_flock locks with a directory, which outlives a watchdog that is
# killed. Nothing here can tell that safely, so it is left to a person.
lock_without_flock() {
	mkdir "$run_dir/$name.watchdog.d" 2>/dev/null ||
		already " (hint: if there is none, remove $run_dir/$name.watchdog.d)"
	trap 'rmdir "$run_dir/$name.watchdog.d"' EXIT
}

# already [HINT]: the end of one that is not needed.
already() {
	fail 0 "another watchdog watches $run_dir${1:-}"
}

# quit SIGNAL: the end on demand. What is under way, a start for example, goes
# on without its watchdog.
quit() {
	[ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
	say "ended by SIG$1, $name is left as it is"
	exit 0
}

# Whatever takes time runs in the background, for then a signal interrupts the
# waiting for it; a shell takes none while it waits for a command in front.

# nap MILLISECONDS
nap() {
	clock=$((clock + $1))
	[ "$1" -gt 0 ] || return 0
	sleep "$(seconds "$1")" </dev/null >/dev/null 2>&1 9>&- &
	sleeper=$!
	# A sleep that fails must not make this a loop without a pause.
	wait "$sleeper" || sleep 1 9>&-
	sleeper=
}

# run COMMAND…: the exit code of the program, which writes to the log itself.
run() {
	(
		exec 9>&-
		daemon "$@"
	) >&2 &
	wait "$!"
}

busy=200 # what probe says of a daemon that is starting or draining
lacks=201 # of one that is well, but for something that it depends on

# probe asks whether the daemon is ready: the exit code of status, busy or lacks.
probe() {
	(
		exec 9>&-
		within=$limit
		answer=$(daemon --json status --ready)
		code=$?
		case $code:$answer in
		150:*'"state":"starting"'* | 150:*'"state":"draining"'*) code=$busy ;;
		150:*'"not_ready":['*) code=$lacks ;;
		esac
		exit "$code"
	) 2>/dev/null &
	wait "$!"
}

# find_limit sets the command that ends a probe without an answer. One that does
# not work as expected would make every probe fail.
find_limit() {
	limit="timeout -s KILL $(((probe_timeout + 999) / 1000))"
	$limit true 2>/dev/null || limit=
}

# act COMMAND REASON: start or restart, unless that has been done too often, or
# too short a time ago: then a pause is due, and another look after it.
act() {
	forget
	[ "$starts" -lt "$max_starts" ] || give_up "$2"
	if [ "$due" -gt 0 ]; then
		say "$2: $1 in $(seconds "$due") s"
		next=$due due=0
		return
	fi
	say "$2: $1"
	run "$1" --wait "$patience"
	code=$?
	started_at="$started_at $clock"
	failed=0
	due=$pause
	pause=$((pause * 2))
	[ "$pause" -le "$backoff_max" ] || pause=$backoff_max
	if [ "$code" -ne 0 ]; then
		say "$1 failed (exit $code)"
		next=0
	fi
}

# forget drops the starts that the window has left behind, and counts the others.
forget() {
	starts=0 recent=
	for at in $started_at; do
		if [ $((clock - at)) -lt "$window" ]; then
			starts=$((starts + 1))
			recent="$recent $at"
		fi
	done
	started_at=$recent
}

# give_up REASON: the end when starting does not help. The mark is for "job
# status", and goes with the next start by a person, or by a watchdog.
give_up() {
	text="gave up after $starts starts in $(seconds "$window") s: $1"
	say "$text (hint: see the log of $name, then start it and its watchdog again)"
	printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$text" >"$gave_up"
	exit 1
}

is_ready() {
	[ -z "$waits" ] || say "$name is ready again"
	failed=0 marked=
	waits=
	steady=$((steady + interval))
	if [ "$steady" -ge "$backoff_max" ]; then
		pause=$backoff due=0
	fi
}

# is_lacking: it answers, and says what it waits for.
is_lacking() {
	[ -n "$waits" ] || say "$name waits for something that it depends on and is left alone (hint: see \"$name status\")"
	failed=0 steady=0 waits=yes
}

# is_down CODE
is_down() {
	failed=0 steady=0 waits=
	if [ -e "$down_mark" ]; then
		[ -n "$marked" ] || say "$name was stopped on purpose and is left alone"
		marked=yes
		return
	fi
	act start "$name is down (status $1)"
}

# is_unready CODE: it runs and does not serve, or does not even answer.
is_unready() {
	steady=0 waits=
	failed=$((failed + 1))
	say "$name is not ready (status $1), $failed in a row"
	[ "$failed" -ge "$probes" ] || return
	[ ! -e "$down_mark" ] || return
	act restart "$name does not get ready"
}

watch() {
	clock=0            # milliseconds slept so far
	started_at=        # the clock of each start
	pause=$backoff     # after the next start
	due=0              # of a pause, before the next start
	failed=0           # probes in a row
	steady=0           # milliseconds of being ready
	marked=            # not empty: the down mark has been seen
	waits=             # not empty: it lacked something at the last look
	while :; do
		next=$interval
		probe
		code=$?
		case $code in
		0) is_ready ;;
		1 | 3) is_down "$code" ;;
		"$busy") failed=0 steady=0 ;;
		"$lacks") is_lacking ;;
		*) is_unready "$code" ;;
		esac
		nap "$next"
	done
}

sleeper=
within=
read_flags "$@"
[ -x "$binary" ] || fail 5 "there is no program $binary (hint: name it with --binary)"
find_run_dir
cd / # so as to keep no file system from being unmounted
lock
find_limit
trap '' PIPE # a log that nobody takes any more is no reason to end
trap 'quit TERM' TERM
trap 'quit INT' INT
trap 'quit HUP' HUP
rm -f "$gave_up"
say "watches $binary in $run_dir"
watch
