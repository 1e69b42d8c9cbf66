// A run of the tests, and the processes that it starts.

package databasetest

import (
	"os"
	"testing"

	"example.com/edm/internal/leftout"
)

// Main runs the tests of a package, from its TestMain. Find returns the place of a
// name, in another process.
func Main(m *testing.M, find func(name string) Place) {
	migrateAndExit(find)
	os.Exit(leftout.Main(m))
}
