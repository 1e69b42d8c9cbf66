// Package wire takes the place of the project's own in the probe: one transport,
// which needs nothing, and no database.
package wire

import (
	"example.com/fee/internal/database"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/probe"
)

// Transports are the ways in.
var Transports = map[string]func() transport.Config{
	"probe": probe.Default,
}

// Databases are the places to store to.
var Databases = map[string]func() database.Config{}
