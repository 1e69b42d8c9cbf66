// Package wire lists what is plugged into the service, and does nothing else:
// no other file names a transport, a database or a component. An entry here and
// its section in the configuration belong together.
package wire

import (
	"github.com/daemongen/daemongen/templates/exampled/internal/database"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/mysql"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/postgres"
	"github.com/daemongen/daemongen/templates/exampled/internal/database/sqlite"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/amqp"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/fifo"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/tcp"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/timer"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/udp"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/unix"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/zeromq"
)

// Transports are the ways in, by the name of their section [transport.NAME].
var Transports = map[string]func() transport.Config{
	"amqp":   amqp.Default,
	"fifo":   fifo.Default,
	"tcp":    tcp.Default,
	"timer":  timer.Default,
	"udp":    udp.Default,
	"unix":   unix.Default,
	"zeromq": zeromq.Default,
}

// Databases are the places to store to, by the name of their section
// [database.NAME].
var Databases = map[string]func() database.Config{
	"mysql":    mysql.Default,
	"postgres": postgres.Default,
	"sqlite":   sqlite.Default,
}
