#!/usr/bin/env bash
# Runs every check and every test, and prints how long each took. The tests run
# under the race detector where there is a C compiler for it; without one that is
# said, or, where CI=true, not accepted. The servers that they need are started
# for them, and ended whatever happens. What only shows now and then in the life of
# a daemon is repeated many times at the end, without the race detector.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { # NAME COMMAND...
	local name=$1 started=$SECONDS rc=0
	shift
	"$@" || rc=$?
	echo "test: $name: $((SECONDS - started)) s" >&2
	[[ $rc -eq 0 ]] || exit "$rc"
}

with_servers() { ./scripts/services.sh run mysql postgres amqp zmq -- "$@"; }

step lint ./scripts/lint.sh

race=(-race)
if ! command -v "$(go env CC)" >/dev/null; then
	if [[ ${CI:-} == true ]]; then
		echo 'test: no C compiler for the race detector' >&2
		exit 1
	fi
	echo 'test: LEFT OUT: the race detector, since there is no C compiler' >&2
	race=()
fi
if [[ $(id -u) -ne 0 ]]; then
	echo 'test: LEFT OUT: what only root can test; CI runs it' >&2
fi
step 'all tests' with_servers go test -timeout 30m "${race[@]}" ./...
step 'the long conformance suite' with_servers \
	env EXAMPLED_CONFORMANCE=long go test -count=1 -timeout 30m ./templates/exampled/cmd/exampled
