# shellcheck shell=bash disable=SC2034,SC2154 # what services.sh reads and sets
# Another one, likewise.

variable=TEST_OTHER
user=${FAKE_USER:-$(id -un)}
signal=TERM

missing() { :; }

prepare() {
	echo prepared >"$dir/data" && own "$dir/data" || return 1
	export_line TEST_OTHER "127.0.0.1:$port"
}

start() { launch "FAKE_SERVER=${FAKE_SERVER:-listen}" "FAKE_PORT=$port" "$FAKE_PROGRAM"; }

answers() { greeting "$port"; }
