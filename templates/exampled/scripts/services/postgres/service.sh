# shellcheck shell=bash disable=SC2034,SC2154 # what services.sh reads and sets
# PostgreSQL, of the newest version that is installed.

variable=TEST_POSTGRES_URL
user=postgres
# "Fast": TERM would wait for the clients.
signal=INT

# Debian has the programs in a folder for each version, and few of them in PATH.
programs() {
	local each
	for each in /usr/lib/postgresql/*/bin; do [[ ! -x $each/initdb ]] || echo "$each"; done | sort -V | tail -n 1 | grep .
}

missing() { programs >/dev/null || echo postgresql; }

prepare() {
	local bin password
	bin=$(programs) && password=$(secret) && echo "$password" >"$dir/password" && own "$dir/password" || return 1
	quietly "$bin/initdb" -D "$dir/data" -U tester --pwfile="$dir/password" -A scram-sha-256 \
		--no-sync --no-instructions -E UTF8 --locale=C.UTF-8 || return 1
	# Without a server: that is quicker than to start one for it.
	quietly "$bin/postgres" --single -D "$dir/data" postgres <<<'CREATE DATABASE tests' || return 1
	export_line TEST_POSTGRES_URL "postgres://tester:$password@127.0.0.1:$port/tests?sslmode=disable"
}

start() {
	local -a sync=()
	# A commit still goes to the system, which a killed server does not take with it.
	[[ $SERVICES_SYNC == on ]] || sync=(-c fsync=off -c full_page_writes=off)
	# A killed server leaves this, and another refuses to start as long as the pid in it
	# is that of a process: a zombie's too. Here both the server and all of its
	# processes are known to be gone.
	rm -f "$dir/data/postmaster.pid"
	# No socket, whose path could be too long. Shared memory that is a file among the
	# data goes with these, while others would stay after a crash.
	launch "$(programs)/postgres" -D "$dir/data" -h 127.0.0.1 -p "$port" -c unix_socket_directories= \
		-c dynamic_shared_memory_type=mmap -c max_connections=200 "${sync[@]}"
}

answers() { "$(programs)/pg_isready" -q -h 127.0.0.1 -p "$port"; }

# One small segment can't be a file. A killed server leaves it to the next one, which
# there won't be. The last line but one of this file has its number; the user
# can write that, so root trusts it with no more than the user's rights.
discard() {
	local segment
	segment=$(sed -n '7s/.* //p' "$dir/data/postmaster.pid" 2>/dev/null)
	[[ -z $segment ]] || "${drop[@]}" ipcrm --shmem-id "$segment"
}
