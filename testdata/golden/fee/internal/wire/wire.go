// Package wire lists what is plugged into the service, and does nothing else:
// no other file names a transport, a database or a component. An entry here and
// its section in the configuration belong together.
package wire

import (
	"example.com/fee/internal/database"
	"example.com/fee/internal/database/mysql"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/transport/zeromq"
)

// Transports are the ways in, by the name of their section [transport.NAME].
var Transports = map[string]func() transport.Config{
	"zeromq": zeromq.Default,
}

// Databases are the places to store to, by the name of their section
// [database.NAME].
var Databases = map[string]func() database.Config{
	"mysql": mysql.Default,
}
