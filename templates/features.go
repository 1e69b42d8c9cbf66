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
// folders belongs to the feature and to no other. A transport, database or
// component has an entry in [Wire], under its name in the map of its kind, that
// is the function Default of the package in its first folder; and the section
// [KIND.NAME] in [Config].
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

// Features returns the table of what can be plugged in, in the order in which
// it is listed. What no row owns is in every project.
func Features() []Feature {
	return []Feature{
		{
			Ref:     Ref{Transport, "tcp"},
			Summary: "lines over TCP, answered in order",
			Folders: []string{"internal/transport/tcp"},
		},
		{
			Ref:     Ref{Database, "sqlite"},
			Summary: "SQLite in a file of the state directory, pure Go",
			Folders: []string{"internal/database/sqlite"},
		},
	}
}
