package scripts_test

import "flag"

// go test ./... -update, which records the golden projects anew, hands the flag
// to the tests of every package.
var _ = flag.Bool("update", false, "nothing to record here")
