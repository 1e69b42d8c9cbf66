// Command daemongen writes daemons in Go.
//
//	daemongen new feed                a project in ./feed
//	daemongen add transport amqp      one more feature, in any folder of a project
//	daemongen list                    what can be added
//	daemongen verify                  does its daemon keep what it promises?
//	daemongen help new                the flags of a command
//
// A project of daemongen is plain Go: a daemon that starts, reloads and stops as
// the init systems and their administrators expect it to, takes messages from
// the transports that were asked for, and hands each to a handler that is the
// user's own.
//
//	$ daemongen new feed --transport tcp --database sqlite
//	created feed: 114 files, 446 kB, in 17 ms
//
//	next:
//	  cd feed
//	  go build -o bin/feed ./cmd/feed
//	  bin/feed --config configs/feed.toml start
//	$ cd feed
//	$ daemongen add database sqlite
//	database sqlite is in feed already
//
// Results go to stdout, everything else to stderr. With --json, stdout holds
// exactly one object, also when the command fails. Each flag can be given in the
// environment as well: DAEMONGEN_DRY_RUN=1 for --dry-run.
//
// Exit codes: 0 done, or nothing to do; 1 failed; 2 usage, unknown name, missing
// or invalid answer; 3 refused, because it would overwrite something; 5 the
// result failed verification; 70 a bug of daemongen; 130 and 143 interrupted by
// SIGINT and SIGTERM. After anything but 0 nothing was written, unless the
// message says so.
package main

import (
	"os"
	"runtime/debug"
)

func main() {
	// It is over before much garbage has gathered: 10 to 20 % of the time of new.
	debug.SetGCPercent(400)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
