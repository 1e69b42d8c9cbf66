// Package wire takes the place of the project's own in the store: the transport
// of the probe, and a database that does as a test wants.
package wire

import (
	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/store"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/probe"
)

// Transports are the ways in.
var Transports = map[string]func() transport.Config{
	"probe": probe.Default,
}

// Databases are the places to store to.
var Databases = map[string]func() database.Config{
	"store": store.Default,
}
