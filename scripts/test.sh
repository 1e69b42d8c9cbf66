#!/bin/sh
# Runs every check and every test. The tests run under the race detector where
# there is a C compiler for it; without one that is said, or, where CI=true, not
# accepted.
set -eu
cd "$(dirname "$0")/.."

./scripts/lint.sh

race=-race
if ! command -v "$(go env CC)" >/dev/null; then
	if [ "${CI:-}" = true ]; then
		echo 'test: no C compiler for the race detector' >&2
		exit 1
	fi
	echo 'test: LEFT OUT: the race detector, since there is no C compiler' >&2
	race=
fi
# shellcheck disable=SC2086 # empty means no argument
go test -timeout 20m $race ./...
