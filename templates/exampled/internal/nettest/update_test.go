package nettest

import "flag"

// go test ./... -update, which records the golden projects anew, hands the flag
// to the tests of every package. This file is not part of a project.
var _ = flag.Bool("update", false, "nothing to record here")
