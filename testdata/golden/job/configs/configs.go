// Package configs holds the configuration file of the project as it was when
// the service was built.
package configs

import _ "embed"

// Default is the configuration of a service that is run in the foreground where
// none is installed: for a look, on the machine of an engineer.
//
//go:embed job.toml
var Default []byte
