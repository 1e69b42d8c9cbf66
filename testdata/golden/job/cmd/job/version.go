package main

import "runtime/debug"

// release is the version of a build that was given one:
//
//	go build -ldflags "-X main.release=v1.2.3" ./cmd/job
var release string

// version is the release, or what the build knows of its source.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = "+modified"
		}
	}
	if revision != "" && info.Main.Version == "(devel)" {
		return "devel-" + revision[:min(12, len(revision))] + modified
	}
	return info.Main.Version
}
