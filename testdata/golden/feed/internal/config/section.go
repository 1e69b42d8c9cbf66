// Package config reads the configuration of the service: a TOML file, with the
// environment laid over it, decoded strictly into the sections that the parts
// of the service own. It knows no key of its own. Every problem is found at
// once and says file, line, column, key and reason.
package config

// Section is one table of the configuration, such as [worker] or
// [transport.tcp]: a pointer to a struct whose exported fields are the keys.
// The fields hold the defaults until Load decodes over them.
//
//	type Settings struct {
//		Listen  string          `toml:"listen"`
//		Timeout config.Duration `toml:"timeout"`
//		User    string          `toml:"user" reload:"restart"`
//	}
//
// The tag reload:"restart" marks a key that can't change while the service runs.
// Fields without a toml tag are no keys. A struct in a field is a section of its
// own, [transport.tcp.tls], unless it reads itself from text.
type Section interface {
	// Validate reports every value out of range: key is the name in the toml
	// tag, reason a phrase such as "must be at least 1, is 0". It touches no
	// file, socket or network.
	Validate(report func(key, reason string))
}

// Table is a place in the configuration for a Section.
type Table struct {
	Name    string  // "worker", "transport.tcp"
	Section Section // decoded into; holds the defaults before
	Present bool    // set by Load: the file or the environment has something of it
}
