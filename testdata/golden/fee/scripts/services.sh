#!/usr/bin/env bash
# services.sh - private servers (databases, brokers) for tests. It needs bash 5
# and Linux, and as root it installs what is missing from Debian's packages.
#
#   services.sh up [NAME...]      start them, wait until they answer; all by default
#   services.sh env               the export lines of those that run
#   services.sh status            a line each: name, pid, port, memory
#   services.sh stop NAME...      stop in order; data, port and password stay for an up
#   services.sh kill NAME...      the same with SIGKILL: a crash
#   services.sh down [NAME...]    stop them and remove all that was theirs
#   services.sh install [NAME...] install what is missing, start nothing
#   services.sh run [NAME... --] COMMAND...
#                                 run a command with them, then take down what this
#                                 started, however the command or this script ends
#
# Of up and env, standard output has lines of the form export NAME='VALUE' and nothing
# else but a comment, for
#
#   eval "$(services.sh up)"
#
# and what there is to say goes to standard error. Of what is exported, TEST_SERVICES is a
# program for tests that inject faults: "$TEST_SERVICES" kill NAME, and so on, acts
# on these very servers. Run leaves alone a service whose variable is set already,
# and uses those that run in SERVICES_DIR; without any there it starts its own
# beside them, so that two runs don't share. What can't be had is LEFT OUT, and
# said so again at its end, or, where CI=true, an error.
#
# Exit codes: 0, 1 failed, 2 usage, 5 some are missing and can't be installed here
# (the others are up); run has that of its command.
#
#   SERVICES_DIR         all data, logs and pids; a default for each user
#   SERVICES_SYNC=off    no waiting for the disk: a commit survives the death of the
#                        server, but not that of the machine
#   SERVICES_INSTALL=no  never install
#   SERVICES_PATH        folders to look for services in, separated by colons; by
#                        default the folder services beside this script
#
# Each folder NAME of these with a file service.sh is a service. The file is read
# into a shell of its own that does one thing with one service, so the names in it
# can be short. It defines:
#
#   variable   the exported variable that tells the tests where the server is
#   user       whom root runs the server as (anybody else runs it as oneself)
#   signal     what ends the server in order; signal_down, if set, is for a down
#   missing    prints the packages to be installed, nothing if all is there
#   prepare    makes the data, with $port to listen on; prints export lines
#   start      ends in launch with the server's command; without such a function
#              there is no server to start
#   answers    succeeds once a client is answered
#   discard    optional: before the data are removed, what else the dead left
#
# and has $dir, a folder of its own and the user's, and $port. Functions return a
# status for each failure: nothing here relies on errexit. Nor on nounset, which an
# older bash trips over in an empty array: a project without services, or on another
# system, runs its tests by this script too.
set -o pipefail

# Servers lie in sbin, which an ordinary user's PATH may lack.
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8
callers_umask=$(umask)
umask 077 # passwords are in the files here

me=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)/$(basename "${BASH_SOURCE[0]}")
SERVICES_DIR=${SERVICES_DIR:-${TMPDIR:-/tmp}/fee-services-$(id -u)}
SERVICES_DIR=${SERVICES_DIR%/}
SERVICES_SYNC=${SERVICES_SYNC:-on}
SERVICES_INSTALL=${SERVICES_INSTALL:-yes}
readonly cannot=5

say() { printf 'services: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
root() { [[ $EUID -eq 0 ]]; }
linux() { [[ $(uname -s) == Linux ]]; }
export_line() { printf "export %s='%s'\n" "$1" "${2//\'/"'\\''"}"; }

# --- which services there are ------------------------------------------------

find_folders() { # from SERVICES_PATH, as absolute paths
	local each
	local -a given
	IFS=: read -ra given <<<"${SERVICES_PATH:-${me%/*}/services}"
	folders=() SERVICES_PATH=''
	for each in "${given[@]}"; do
		[[ -d $each ]] || continue
		folders+=("$(cd "$each" && pwd -P)")
		SERVICES_PATH+=${SERVICES_PATH:+:}${folders[${#folders[@]} - 1]}
	done
}

services() { # their names
	local folder file
	for folder in "${folders[@]}"; do
		for file in "$folder"/*/service.sh; do [[ ! -e $file ]] || basename "${file%/service.sh}"; done
	done | sort -u
}

# load NAME: the service into this shell, which has to be one of its own.
load() {
	local folder
	name=$1 dir=$SERVICES_DIR/$1 port='' drop=()
	variable='' user=$(id -un) signal=TERM signal_down=''
	for folder in "${folders[@]}"; do
		[[ -e $folder/$name/service.sh ]] || continue
		# shellcheck source=/dev/null
		source "$folder/$name/service.sh" || die "$folder/$name/service.sh can't be read"
		break
	done
	[[ ! -e $dir.port ]] || port=$(<"$dir.port")
}

# The rights of the service's user. setpriv keeps the pid, while su and runuser
# fork; initdb and postgres refuse to run as root at all.
drop_rights() {
	local group
	root || return 0
	group=$(id -g "$user") || { say "$name: there is no user $user"; return 1; }
	drop=(setpriv "--reuid=$user" "--regid=$group" --clear-groups)
}

# --- installing ----------------------------------------------------------------

missing_packages() { # NAME... one a line
	local each
	for each in "$@"; do (load "$each" && missing); done | tr ' ' '\n'
}

left_out() { # NAME: why the tests that need it can't run
	local packages why='only root can install it'
	[[ $SERVICES_INSTALL == yes ]] || why='SERVICES_INSTALL forbids to install it'
	root && [[ $SERVICES_INSTALL == yes ]] && why='it could not be installed'
	packages=$(missing_packages "$1" | xargs)
	linux || { packages='a private server' why='only Linux can have one'; }
	(load "$1" && say "LEFT OUT: what needs $1 (${variable:-no variable}): no $packages, and $why")
}

# install NAME...: as root, what is missing. Whether all is there then is asked by
# looking again.
install() {
	local -a packages
	local started=$SECONDS
	mapfile -t packages < <(missing_packages "$@")
	((${#packages[@]})) || return 0
	[[ $SERVICES_INSTALL == yes ]] && root && command -v apt-get >/dev/null || return 0
	say "installing ${packages[*]}"
	if (apt_install "${packages[@]}"); then
		say "installed ${packages[*]} in $((SECONDS - started)) s"
	fi
}

# One at a time, since they share the policy below. The lock is taken on a folder,
# so that no file of it stays.
apt_install() { # PACKAGE...
	local policy=/usr/sbin/policy-rc.d log
	umask 022 # the packages' scripts rely on it
	exec 8</var/lib/dpkg && flock 8 || return 1
	log=$(mktemp) || return 1
	trap 'rm -f "$log"; ! ours "$policy" || rm -f "$policy"' EXIT
	trap 'exit 130' INT TERM HUP
	# The packages' scripts are not to start the system's own servers: 101 says that
	# this is forbidden. An administrator's policy stays.
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\n# Made by services.sh, for as long as it installs.\nexit 101\n' >"$policy" &&
			chmod 755 "$policy" || return 1
	fi
	# Without an update first: that takes longest, and what is known mostly will do.
	{ apt install "$@" || { apt update && apt install "$@"; }; } </dev/null >"$log" 2>&1 8<&- && return
	tail -n 20 "$log" >&2
	say "apt-get could not install $*"
	return 1
}

apt() {
	local verb=$1
	shift
	[[ $verb != install ]] || set -- -y --no-install-recommends "$@"
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
		-o Dpkg::Options::=--force-unsafe-io "$verb" "$@"
}

ours() { grep -qs 'Made by services.sh' "$1"; }

# --- processes -----------------------------------------------------------------

# starttime PID: when it started, in ticks since the boot, which tells a recorded
# process from another that got its number later. A zombie counts as gone; kill -0
# finds it until its parent reaps it, which in a container may be never.
starttime() {
	local line
	local -a fields
	{ read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
	# The name, in parentheses, may contain anything; the state is what follows it.
	read -ra fields <<<"${line##*) }"
	[[ ${fields[0]} != [ZX] ]] && echo "${fields[19]}"
}

# server NAME: the pid of the server, if it is still the process that we started.
server() {
	local pid start
	read -r pid start 2>/dev/null <"$SERVICES_DIR/$1.pid" || return 1
	[[ -n $start && $(starttime "$pid") == "$start" ]] && echo "$pid"
}

# launch [VARIABLE=VALUE...] COMMAND...: the server, in a session of its own, with
# these variables and few others, in $dir, into which its user may go.
#
# It writes down its own pid, which it keeps from there on, while it still has the
# lock: whoever gets the lock next knows of it, whatever happens to us. Then it
# gives up the lock, and all of our descriptors: a server with our standard output
# would have the caller of "$(services.sh up)" wait for ever.
launch() {
	(
		own=$BASHPID # which is another in the parentheses below
		echo "$own $(starttime "$own")" >"$dir.pid" && cd "$dir" && limit_files || exit
		close_descriptors
		exec setsid "${drop[@]}" env -i "PATH=$PATH" LANG=C.UTF-8 "HOME=$dir" "$@" </dev/null >>"$dir.log" 2>&1
	) &
	launched=$!
	until [[ -s $dir.pid ]] || ! starttime "$launched" >/dev/null; do pause; done
}

# All but the first three, and the one from which bash reads the script, which ends
# with bash.
close_descriptors() {
	local each
	for each in /proc/"$BASHPID"/fd/*; do
		each=${each##*/}
		((each <= 2 || each == 255)) || eval "exec $each>&-"
	done
}

# The servers size things by this limit. 1024 are too few sockets for RabbitMQ, and
# with 2^30 Erlang spends seconds on closing what is not open.
limit_files() {
	local most
	most=$(ulimit -Hn)
	if [[ $most == unlimited ]] || ((most > 20000)); then most=20000; fi
	ulimit -n "$most"
}

pause() { sleep 0.03; }

# within SECONDS TEST...: waits until the test succeeds.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		pause
	done
}

gone() { ! server "$name"; }

# What a dead server has started may live for a moment more, and write to the data
# or hold them, as the processes of PostgreSQL do. They are known by where they
# work, and asked as the same user, since even root may lack the right to see that
# of others.
nobody_works_here() {
	[[ -z $(cd / && "${drop[@]}" find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$dir" -o -lname "$dir/*" \) 2>/dev/null) ]]
}

await_nobody() {
	[[ -d $dir ]] && drop_rights || return 0
	within 20 nobody_works_here || say "$name: something still works in $dir"
}

# halt SIGNAL: ends the server of this shell, and all that it has started.
halt() {
	local pid
	if pid=$(server "$name"); then
		kill "-$1" "$pid" 2>/dev/null
		if ! within 20 gone; then
			say "$name (pid $pid) did not end on SIG$1 in 20 s: SIGKILL"
			kill -KILL "$pid" 2>/dev/null
			within 20 gone || { say "$name (pid $pid) does not end"; return 1; }
		fi
	fi
	rm -f "$dir.pid"
	await_nobody
}

# --- ports and passwords, for the services ---------------------------------------

# A port below the range of which the kernel gives to connections that go out, or
# one of these may take it between this look and the server's bind.
free_port() {
	local low _ candidate
	read -r low _ </proc/sys/net/ipv4/ip_local_port_range
	((low > 11000)) || low=32768
	while :; do
		candidate=$((10240 + (RANDOM * 32768 + RANDOM) % (low - 10240)))
		greeting "$candidate" 2>/dev/null || break
	done
	echo "$candidate"
}

# greeting PORT [BYTES]: connects to a server, says the bytes (as printf has them) if
# there are any, and prints the first byte of the answer. Without bytes to say it
# does not wait for an answer either.
greeting() {
	local byte='' connection
	{ exec {connection}<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
	if (($# > 1)); then
		# shellcheck disable=SC2059 # a format by its purpose
		printf "$2" >&"$connection"
		IFS= read -r -n 1 -t 3 -u "$connection" byte
	fi
	exec {connection}>&-
	printf %s "$byte"
}

secret() { od -An -N12 -tx1 /dev/urandom | tr -d ' \n'; }

# own PATH...: the service's user gets what this shell has made.
own() { ! root || chown -R "$user:" "$@"; }

# quietly COMMAND...: as the service's user, in $dir. What it says is shown if it
# fails.
quietly() {
	(cd "$dir" && "${drop[@]}" "$@") >"$dir.log" 2>&1 && return
	tail -n 20 "$dir.log" >&2
	say "$name: $1 failed"
	return 1
}

# socket_path PATH: fails for one that is too long for a socket.
socket_path() {
	((${#1} <= 107)) || { say "$name: $1 is too long for a unix socket; set a shorter SERVICES_DIR"; return 1; }
	echo "$1"
}

# --- one service, in a shell of its own -------------------------------------------

has_server() { declare -F start >/dev/null; }

# running NAME: prepared, and with its server if it has one.
running() {
	[[ -e $SERVICES_DIR/$1.env ]] && { server "$1" >/dev/null || (load "$1" && ! has_server); }
}

# bring_up NAME. A port may be lost to somebody else between the look and the bind:
# then a service that never ran begins anew. One that ran keeps its data and port.
bring_up() {
	local began try
	load "$1" && drop_rights || return 1
	# Not ignored, which servers would inherit, but noted.
	trap 'interrupted=1' INT TERM HUP
	for try in 1 2 3; do
		began=${EPOCHREALTIME/./}
		if prepare_once && start_server; then
			: >"$dir.ran"
			! has_server || say "$name ready in $(((${EPOCHREALTIME/./} - began) / 1000)) ms (pid $(server "$name"), port $port)"
			return 0
		fi
		[[ -n $interrupted || ! -s $dir.log ]] || tail -n 15 "$dir.log" >&2
		halt KILL
		[[ ! -e $dir.ran ]] || return 1
		discard_all
		[[ -z $interrupted ]] || return 1
		say "$name: try $try failed"
	done
	return 1
}

make_dir() {
	mkdir -p "$dir" && chmod 711 "$dir" && own "$dir" || return 1
	"${drop[@]}" test -w "$dir" && return
	say "$user cannot reach $dir: a folder above it is closed to others, as those of mktemp -d are"
	return 1
}

prepare_once() {
	[[ ! -e $dir.env ]] || return 0
	discard_all # what an up that was killed has left
	make_dir || return 1
	port=$(free_port) && prepare >"$dir.env.new" && echo "$port" >"$dir.port" && mv "$dir.env.new" "$dir.env"
}

start_server() {
	has_server || return 0
	rm -f "$dir.pid"
	await_nobody
	start || return 1
	until answers >/dev/null 2>&1; do
		server "$name" >/dev/null || { say "$name: the server has ended"; return 1; }
		# An up that was killed shall not leave a server to start for nobody.
		[[ -z $interrupted ]] && starttime $$ >/dev/null || return 1
		((${EPOCHREALTIME/.*/} * 1000000 < began + 90000000)) || { say "$name: not ready in 90 s"; return 1; }
		pause
	done
}

discard_all() {
	! declare -F discard >/dev/null || discard
	rm -rf "$dir" "$dir".{env,env.new,log,pid,port,ran}
}

# --- verbs -----------------------------------------------------------------------

# lock: take SERVICES_DIR, which a down may remove while this waits for it. What this
# starts to prepare the data has the lock too, so that nobody comes upon half of it.
lock() {
	local mark=$SERVICES_DIR/mark
	while [[ -z $interrupted ]]; do
		mkdir -p "$SERVICES_DIR" || die "$SERVICES_DIR can't be made"
		[[ -O $SERVICES_DIR ]] || die "$SERVICES_DIR is another user's"
		# The mark is the first file made here, so this order has no race.
		[[ -z $(ls -A "$SERVICES_DIR") || -e $mark ]] || die "$SERVICES_DIR has files in it that are not ours"
		chmod 711 "$SERVICES_DIR" 2>/dev/null # the servers' users go through it
		{ exec 9>>"$mark"; } 2>/dev/null || continue
		flock -w 1 9 || continue
		[[ ! $mark -ef /proc/self/fd/9 ]] || break
	done
	[[ -z $interrupted ]] || exit 130
	SERVICES_DIR=$(cd "$SERVICES_DIR" && pwd -P) # as /proc has it
}

up() { # NAME...
	local each
	local -a can=() cannot_have=() failed=() jobs=()
	trap 'interrupted=1; ((${#jobs[@]} == 0)) || kill "${jobs[@]}" 2>/dev/null' INT TERM HUP
	install "$@"
	for each in "$@"; do
		if [[ -z $(missing_packages "$each") ]]; then can+=("$each"); else cannot_have+=("$each"); fi
	done
	for each in "${can[@]}"; do
		if [[ -n $interrupted ]] || running "$each"; then continue; fi
		bring_up "$each" &
		jobs+=($!)
	done
	# A signal ends a wait before its time.
	for each in "${jobs[@]}"; do while starttime "$each" >/dev/null; do wait "$each"; done; done
	[[ -z $interrupted ]] || { say interrupted; exit 130; }
	for each in "${can[@]}"; do running "$each" || failed+=("$each"); done
	write_control
	print_env
	# shellcheck disable=SC2016 # for the reader
	echo '# to end them: make services-down, or "$TEST_SERVICES" down'
	for each in "${cannot_have[@]}"; do left_out "$each"; done
	((${#failed[@]} == 0)) || die "could not start: ${failed[*]}"
	((${#cannot_have[@]} == 0)) || exit $cannot
}

# The program that TEST_SERVICES names, for these servers and no others, whatever
# the environment of its caller says.
write_control() {
	local name
	{
		printf '#!/usr/bin/env bash\n# services.sh, for the servers in this folder.\n'
		for name in SERVICES_DIR SERVICES_PATH SERVICES_SYNC SERVICES_INSTALL; do export_line "$name" "${!name}"; done
		# shellcheck disable=SC2016 # for that program
		printf 'exec %q "$@"\n' "$me"
	} >"$SERVICES_DIR/control.new" && chmod 700 "$SERVICES_DIR/control.new" &&
		mv "$SERVICES_DIR/control.new" "$SERVICES_DIR/control"
}

print_env() {
	local each any=''
	for each in $(services); do
		if running "$each"; then cat "$SERVICES_DIR/$each.env" && any=1; fi
	done
	[[ -z $any ]] || export_line TEST_SERVICES "$SERVICES_DIR/control"
}

status() {
	local each pid
	for each in $(services); do
		if pid=$(server "$each"); then
			echo "$each pid=$pid port=$(<"$SERVICES_DIR/$each.port") $(awk '/^VmRSS/ { print "rss_kb=" $2 }' "/proc/$pid/status")"
		elif running "$each"; then
			echo "$each ready"
		else
			echo "$each down"
		fi
	done
}

end_each() { # SIGNAL-or-empty NAME...
	local each sig=$1 rc=0
	local -a jobs=()
	shift
	for each in "$@"; do
		(load "$each" && halt "${sig:-$signal}") &
		jobs+=($!)
	done
	for each in "${jobs[@]}"; do wait "$each" || rc=1; done
	return $rc
}

down() { # NAME...
	local each
	local -a jobs=()
	for each in "$@"; do
		(load "$each" && halt "${signal_down:-$signal}" && discard_all) &
		jobs+=($!)
	done
	for each in "${jobs[@]}"; do wait "$each" || say "the data of a service are still there"; done
	# Others may be in the folder, those of another SERVICES_PATH too.
	compgen -G "$SERVICES_DIR/*.*" >/dev/null || rm -rf "${SERVICES_DIR:?}"
}

# run NAME... -- COMMAND...
run() {
	local each rc=0 keeper
	local -a needed=() missed=()
	while [[ $1 != -- ]]; do needed+=("$1") && shift; done
	shift
	choose_needed "${needed[@]}"
	if ((${#needed[@]})) && linux; then
		keep "${needed[@]}"
		SERVICES_DIR=$SERVICES_DIR "$me" up "${needed[@]}" 7>&- >/dev/null || rc=$?
		if ((rc != 0 && rc != cannot)); then release && exit 1; fi
	fi
	eval "$(print_env)"
	for each in "${needed[@]}"; do running "$each" || missed+=("$each"); done
	if ((${#missed[@]})) && [[ ${CI:-} == true ]]; then
		release
		die "${missed[*]} can't be had, and CI=true accepts no test left out"
	fi
	command_in_group "$@"
	rc=$?
	release
	for each in "${missed[@]}"; do left_out "$each"; done
	exit $rc
}

# choose_needed NAME...: which of them run has to start, and where.
choose_needed() {
	local each set
	local -a wanted=("$@")
	needed=()
	for each in "${wanted[@]}"; do
		set=$(load "$each" && [[ -n $variable ]] && echo "${!variable:-}")
		if [[ -n $set ]]; then
			say "$each: as the environment has it"
		elif ! running "$each"; then
			needed+=("$each")
		fi
	done
	[[ -n $(print_env) ]] || SERVICES_DIR+=-$(secret | cut -c -8)
}

# keep NAME...: a process that takes the services down when this one has ended,
# however it ended: it reads what only this one could write to. It has a session of
# its own, so that what is aimed at ours misses it.
keep() {
	# shellcheck disable=SC2016 # for that shell
	exec 7> >(SERVICES_DIR=$SERVICES_DIR exec setsid sh -c 'cat; exec "$0" down "$@"' "$me" "$@" >/dev/null)
	keeper=$!
}

release() {
	[[ -n ${keeper:-} ]] || return 0
	exec 7>&-
	wait "$keeper"
}

# command_in_group COMMAND...: in a process group of its own, to which signals are
# passed on, so that all of a go test ends and not the go command alone. Job control
# makes the group, and leaves its signals as they are by default.
command_in_group() {
	local child rc=0 each
	set -m
	(umask "$callers_umask" && exec "$@" 7>&-) &
	child=$!
	set +m
	for each in INT TERM HUP; do
		# shellcheck disable=SC2064 # now
		trap "kill -$each -- -$child 2>/dev/null" "$each"
	done
	while :; do
		wait "$child"
		rc=$?
		starttime "$child" >/dev/null || return $rc
	done
}

# names [NAME...]: into the array names, all if none is given.
names() {
	local each all
	all=$(services | xargs)
	for each in "$@"; do [[ " $all " == *" $each "* ]] || usage "unknown service $each (of: $all)"; done
	names=("$@")
	# shellcheck disable=SC2206 # split on purpose
	(($#)) || names=($all)
}

usage() {
	(($# == 0)) || say "$*"
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$me" >&2
	exit 2
}

run_arguments() {
	local arg
	local -a given=()
	for arg in "$@"; do
		shift
		if [[ $arg == -- ]]; then
			(($#)) || usage 'run what?'
			names "${given[@]}"
			run "${names[@]}" -- "$@"
		fi
		given+=("$arg")
	done
	((${#given[@]})) || usage 'run what?'
	names
	run "${names[@]}" -- "${given[@]}"
}

main() {
	local verb=${1:-}
	shift
	interrupted=
	find_folders
	case $verb in
		run) run_arguments "$@" ;;
		env) print_env ;;
		status) status ;;
		up | stop | kill | down | install) names "$@" ;;
		*) usage ;;
	esac
	case $verb in
		up | install)
			linux || die 'only Linux can have private servers'
			((${#names[@]})) || { say 'no service is needed here'; exit 0; }
			;;
		stop | kill | down)
			[[ -e $SERVICES_DIR/mark ]] || exit 0
			[[ $verb == down || $# -gt 0 ]] || usage "$verb what?"
			;;
	esac
	case $verb in
		install)
			install "${names[@]}"
			[[ -z $(missing_packages "${names[@]}") ]] || exit $cannot
			;;
		up) lock && up "${names[@]}" ;;
		stop) lock && end_each '' "${names[@]}" ;;
		kill) lock && end_each KILL "${names[@]}" ;;
		down) lock && down "${names[@]}" ;;
	esac
}

main "$@"
