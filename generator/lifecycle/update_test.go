package lifecycle

import "flag"

// go test ./... -update records the golden projects anew, in package generator,
// and hands the flag to the tests of every package.
var _ = flag.Bool("update", false, "nothing to record here")
