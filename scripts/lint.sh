#!/bin/sh
# Lints everything that is written here: the generator, the exemplar, the golden
# projects as their users would, and the shell scripts. Prints what it finds and
# exits 1 if that is anything.
#
# The linters are pinned, and come through the Go module proxy. shellcheck comes
# from the system; without it the shell scripts are left out, and said so, or,
# where CI=true, not accepted.
set -u
cd "$(dirname "$0")/.." || exit 1

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
golangci=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
failed=0

# check NAME COMMAND…: one lint, in the current folder.
check() {
	name=$1
	shift
	if ! "$@"; then
		echo "lint: $name failed in $PWD" >&2
		failed=1
	fi
}

# lint_module: the module in the current folder. By its settings golangci-lint has go
# vet and staticcheck among its own.
lint_module() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	check gofmt sh -c 'unformatted=$(gofmt -l .); [ -z "$unformatted" ] || { echo "$unformatted"; false; }'
	check golangci-lint go run "$golangci" run ./...
}

lint_module
check 'go vet' go vet ./...
check staticcheck go run "$staticcheck" ./...
# What was linted above, under another name, but for the files of presets: once will do.
for project in testdata/golden/*/; do
	home=$PWD
	cd "$project" || exit 1
	lint_module
	cd "$home" || exit 1
done

# What is generated builds, tests included, on the other systems and processors
# too: on those that lack something of Linux, with what takes its place.
vet=$(mktemp) || exit 1
trap 'rm -f "$vet"' EXIT
check 'go build' go build -o "$vet" ./scripts/vet
for platform in linux/386 linux/arm64 darwin/arm64 freebsd/amd64; do
	check "vet for $platform" env GOOS="${platform%/*}" GOARCH="${platform#*/}" CGO_ENABLED=0 \
		"$vet" ./templates/exampled/...
done

if command -v shellcheck >/dev/null; then
	check shellcheck shellcheck .ci/run scripts/*.sh templates/exampled/deploy/*.sh templates/exampled/scripts/*.sh \
		scripts/services/*/*.sh scripts/testdata/services/*/*.sh templates/exampled/scripts/services/*/*.sh
elif [ "${CI:-}" = true ]; then
	echo 'lint: shellcheck is missing' >&2
	failed=1
else
	echo 'lint: LEFT OUT: the shell scripts, since shellcheck is not installed' >&2
fi
exit "$failed"
