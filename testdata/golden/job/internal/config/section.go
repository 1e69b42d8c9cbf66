// Package config reads the configuration of the service: a TOML file, with the
// environment laid over it, decoded strictly into the sections that the parts
// of the service own. It knows no key of its own. Every problem is found at
// once and says file, line, column, key and reason.
package config

import "strings"

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
// own, [transport.tcp.tls], unless it reads itself from text. A Secret brings a
// second key with it, password_file for password, which names a file to read it
// from; see Load.
type Section interface {
	// Validate reports every value out of range: key is the name in the toml
	// tag, reason a phrase such as "must be at least 1, is 0". It touches no
	// file, socket or network.
	Validate(report func(key, reason string))
}

// Table is a place in the configuration for a Section.
type Table struct {
	// Name is "worker" or "transport.tcp". The table named "" holds sections
	// only: each field with a toml tag is a struct, [TAG] in the file.
	Name string

	Section Section // decoded into; holds the defaults before
	Present bool    // set by Load: the file or the environment has something of it
}

// inForce reports whether the section has a say: without a dot in its name it
// has with its defaults as well.
func (t *Table) inForce() bool { return t.Present || !strings.Contains(t.Name, ".") }

// path returns the parts of the name.
func (t *Table) path() []string {
	if t.Name == "" {
		return nil
	}
	return strings.Split(t.Name, ".")
}
