// The section [transport.unix] of the configuration.

package unix

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/stream"
)

// Config is the section [transport.unix]. What does not say otherwise can change
// while the service runs; the lists hold for the connections that come then.
type Config struct {
	// Path is the file of the socket; empty: exampled.unix.sock in the run
	// directory.
	Path config.Path `toml:"path"`

	// Mode is who may connect: those who may write to the file. Owner and Group
	// are whose it is, names or numbers; empty: those that the service runs as.
	Mode  config.Mode `toml:"mode" reload:"restart"`
	Owner string      `toml:"owner" reload:"restart"`
	Group string      `toml:"group" reload:"restart"`

	// AllowUsers and AllowGroups are names or numbers of those who may connect;
	// without any, all whom the file lets. A process counts with all groups that
	// it was in when it connected.
	AllowUsers  []string `toml:"allow_users"`
	AllowGroups []string `toml:"allow_groups"`

	stream.Settings
}

// Default returns the section with its defaults.
func Default() transport.Config {
	return &Config{Mode: 0o660, Settings: stream.DefaultSettings()}
}

// inRunDirectory is the path of the socket if the section has none.
const inRunDirectory = "exampled.unix.sock"

// maxPath is how long a path may be: it has to fit into sockaddr_un on every
// system.
const maxPath = 100

func (c *Config) address() string {
	if c.Path == "" {
		return inRunDirectory
	}
	return string(c.Path)
}

// Validate implements config.Section.
func (c *Config) Validate(report func(key, reason string)) {
	if n := len(c.Path); n > maxPath {
		report("path", fmt.Sprintf("must have at most %d bytes, has %d: no more fit into the address of a socket", maxPath, n))
	}
	if c.Mode > 0o777 {
		report("mode", fmt.Sprintf("must be permissions, at most 0777, is %s", c.Mode))
	}
	for _, list := range []struct {
		key    string
		names  []string
		lookUp func(name string) (int, error)
		who    string
	}{
		{"owner", some(c.Owner), userID, "user"},
		{"group", some(c.Group), groupID, "group"},
		{"allow_users", c.AllowUsers, userID, "user"},
		{"allow_groups", c.AllowGroups, groupID, "group"},
	} {
		for _, name := range list.names {
			if _, err := list.lookUp(name); err != nil {
				report(list.key, fmt.Sprintf("must have names or numbers that this machine knows, has %q: there is no such %s", name, list.who))
			}
		}
	}
	if len(c.AllowUsers)+len(c.AllowGroups) > 0 && !tellsCredentials {
		report("allow_users", "can't be used: this system does not tell who connects; leave it to mode, owner and group")
	}
	c.Settings.Validate(report)
}

// some is a list of the name, or an empty one.
func some(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// owner returns whose the file is to be, by default those given.
func (c *Config) owner(uid, gid int) (_, _ int, err error) {
	if c.Owner != "" {
		if uid, err = userID(c.Owner); err != nil {
			return uid, gid, fmt.Errorf("owner = %q: %w", c.Owner, err)
		}
	}
	if c.Group != "" {
		if gid, err = groupID(c.Group); err != nil {
			return uid, gid, fmt.Errorf("group = %q: %w", c.Group, err)
		}
	}
	return uid, gid, nil
}

// lookUp returns the numbers of all names.
func lookUp(key string, names []string, id func(name string) (int, error)) (ids []int, err error) {
	for _, name := range names {
		n, err := id(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		ids = append(ids, n)
	}
	return ids, nil
}

// userID is the number of a user, who need not be known if it is given as such.
func userID(name string) (int, error) {
	if entry, err := user.Lookup(name); err == nil {
		return strconv.Atoi(entry.Uid)
	}
	return number(name)
}

// groupID is the number of a group, likewise.
func groupID(name string) (int, error) {
	if entry, err := user.LookupGroup(name); err == nil {
		return strconv.Atoi(entry.Gid)
	}
	return number(name)
}

func number(name string) (int, error) {
	n, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return -1, errors.New("no such name")
	}
	return int(n), nil
}
