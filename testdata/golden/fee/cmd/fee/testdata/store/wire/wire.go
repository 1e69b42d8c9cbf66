// Package wire takes the place of the project's own in the store: the transport
// of the probe, and a database that does as a test wants.
package wire

import (
	"example.com/fee/internal/database"
	"example.com/fee/internal/database/store"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/probe"
)

// Transports are the ways in.
var Transports = map[string]func() transport.Config{
	"probe": probe.Default,
}

// Databases are the places to store to.
var Databases = map[string]func() database.Config{
	"store": store.Default,
}
