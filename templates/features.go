package templates

// Kind says into which socket of a daemon a feature is plugged.
type Kind string

// The kinds, in the order in which they are listed.
const (
	Transport Kind = "transport" // a way in
	Database  Kind = "database"  // a place to store to; a project has one or none
	Component Kind = "component" // something that runs beside the work
	Deploy    Kind = "deploy"    // files only
)

// Kinds returns all kinds, in order.
func Kinds() []Kind { return []Kind{Transport, Database, Component, Deploy} }

// A Ref names one feature.
type Ref struct {
	Kind Kind
	Name string
}

// String returns the reference as it is typed: transport tcp.
func (r Ref) String() string { return string(r.Kind) + " " + r.Name }

// A Feature is something that can be plugged into a project.
//
// All of it is found by these few words. Every file of the exemplar below its
// folders belongs to the feature, and to no other, unless that lists the same
// folder: what features have in common is in a project that has any of them. The
// first folder is the feature's alone. A transport, database or component has an
// entry in [Wire], under its name in the map of its kind, that is the function
// Default of the package in its first folder; and the section [KIND.NAME] in
// [Config].
type Feature struct {
	Ref
	Summary  string   // one line for a person, lower case, no period
	Folders  []string // in the exemplar; the first holds the package to plug in
	Needs    []Ref    // other features that it can't do without
	Excludes []Ref    // other features that it can't be with
}

// Variable returns the name of the map in [Wire] that lists the features of a
// kind, or "" for a kind that has no entry there.
func (k Kind) Variable() string {
	switch k {
	case Transport:
		return "Transports"
	case Database:
		return "Databases"
	case Component:
		return "Components"
	}
	return ""
}

// migrate is the folder of what databases have in common, and only they.
const migrate = "internal/database/migrate"

// What transports have in common: those on streams of bytes, all to which peers
// connect, and those that call the kernel themselves.
const (
	stream   = "internal/transport/stream"
	accept   = "internal/transport/accept"
	nonblock = "internal/transport/nonblock"
)

// Features returns the table of what can be plugged in, in the order in which
// it is listed. What no row owns is in every project.
func Features() []Feature {
	return []Feature{
		{
			Ref:     Ref{Transport, "tcp"},
			Summary: "messages over TCP, or TLS, answered in order",
			Folders: []string{"internal/transport/tcp", stream, accept, nonblock},
		},
		{
			Ref:     Ref{Transport, "amqp"},
			Summary: "messages of a broker such as RabbitMQ, acknowledged when they are handled",
			Folders: []string{"internal/transport/amqp", "scripts/services/amqp"},
		},
		{
			Ref:     Ref{Transport, "fifo"},
			Summary: "lines from a named pipe",
			Folders: []string{"internal/transport/fifo"},
		},
		{
			Ref:     Ref{Transport, "timer"},
			Summary: "a job at set times, without a peer",
			Folders: []string{"internal/transport/timer"},
		},
		{
			Ref:     Ref{Transport, "udp"},
			Summary: "datagrams over UDP, answered to their sender",
			Folders: []string{"internal/transport/udp"},
		},
		{
			Ref:     Ref{Transport, "unix"},
			Summary: "messages over a unix socket, answered in order",
			Folders: []string{"internal/transport/unix", stream, accept, nonblock},
		},
		{
			Ref:     Ref{Transport, "zeromq"},
			Summary: "ZeroMQ without its library: rep, pull and sub",
			Folders: []string{"internal/transport/zeromq", accept, nonblock},
		},
		{
			Ref:     Ref{Database, "mysql"},
			Summary: "MySQL or MariaDB on a server",
			Folders: []string{"internal/database/mysql", "migrations/mysql", migrate, "scripts/services/mysql"},
		},
		{
			Ref:     Ref{Database, "postgres"},
			Summary: "PostgreSQL on a server",
			Folders: []string{"internal/database/postgres", "migrations/postgres", migrate, "scripts/services/postgres"},
		},
		{
			Ref:     Ref{Database, "sqlite"},
			Summary: "SQLite in a file of the state directory, pure Go",
			Folders: []string{"internal/database/sqlite", "migrations/sqlite", migrate},
		},
	}
}
