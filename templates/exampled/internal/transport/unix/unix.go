// Package unix serves peers that send messages over a unix stream socket, on the
// same machine:
//
//	$ printf 'one\ntwo\n' | nc -N -U /run/exampled/exampled.unix.sock
//	TRUE
//	TRUE
//
// By default a message is a line, and so is its reply. How messages come and
// replies go, package stream says. Who may connect, the mode and the owner of the
// socket's file say, and the lists of users and groups, which the kernel vouches
// for.
package unix

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/accept"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/stream"
)

var (
	_ stream.Config          = (*Config)(nil)
	_ transport.KeyedConfig  = (*Config)(nil)
	_ transport.OwningConfig = (*Config)(nil)
)

// New implements transport.Config.
func (c *Config) New(env transport.Env) (transport.Transport, error) {
	t, err := stream.New(c, env)
	if err != nil {
		return nil, err // not t: it would be an interface that is not nil
	}
	return t, nil
}

// Listens implements transport.Config.
func (c *Config) Listens() []transport.Address {
	return []transport.Address{{Network: "unix", Address: c.address()}}
}

// Stream implements stream.Config.
func (c *Config) Stream() stream.Settings { return c.Settings }

// Endpoint implements stream.Config.
func (c *Config) Endpoint() (*stream.Endpoint, error) {
	own := *c
	e := &stream.Endpoint{Name: "unix", Network: "unix", Address: c.address(), Key: "path", Bound: own.bound, Peer: describe}
	if len(c.AllowUsers)+len(c.AllowGroups) == 0 {
		return e, nil
	}
	users, err := lookUp("allow_users", c.AllowUsers, userID)
	if err != nil {
		return nil, err
	}
	groups, err := lookUp("allow_groups", c.AllowGroups, groupID)
	if err != nil {
		return nil, err
	}
	e.Admit = func(nc net.Conn) error { return admit(nc, users, groups) }
	return e, nil
}

// admit says why a peer may not connect; nil: it may.
func admit(nc net.Conn, users, groups []int) error {
	peer, err := credentialsOf(nc)
	if err != nil {
		return fmt.Errorf("who connects can't be told: %w", err)
	}
	if slices.Contains(users, peer.uid) || slices.Contains(groups, peer.gid) {
		return nil
	}
	if len(groups) > 0 {
		besides, err := groupsOf(nc)
		if err != nil {
			return fmt.Errorf("the groups of who connects can't be told: %w", err)
		}
		if slices.ContainsFunc(besides, func(gid int) bool { return slices.Contains(groups, gid) }) {
			return nil
		}
	}
	return errors.New("the user is not in the list allow_users, nor the group in allow_groups")
}

// credentials are those of a process when it connected.
type credentials struct {
	uid, gid int
	pid      int // 0: not told
}

// credentialsOf asks the kernel who has connected.
func credentialsOf(nc net.Conn) (credentials, error) { return ask(nc, peerCredentials) }

// groupsOf asks the kernel in which groups the process was that has connected,
// besides the one that it ran as.
func groupsOf(nc net.Conn) ([]int, error) { return ask(nc, peerGroups) }

// ask asks the kernel something of a connection.
func ask[T any](nc net.Conn, question func(fd int) (T, error)) (answer T, err error) {
	source, ok := nc.(syscall.Conn)
	if !ok {
		return answer, fmt.Errorf("a %T has no descriptor", nc)
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return answer, err
	}
	var asked error
	if err := raw.Control(func(fd uintptr) { answer, asked = question(int(fd)) }); err != nil {
		return answer, err
	}
	return answer, asked
}

// describe names a peer, which has no address that tells anything.
func describe(nc net.Conn) string {
	c, err := credentialsOf(nc)
	switch {
	case err != nil:
		return "gone"
	case c.pid == 0:
		return fmt.Sprintf("uid %d, gid %d", c.uid, c.gid)
	}
	return fmt.Sprintf("pid %d, uid %d, gid %d", c.pid, c.uid, c.gid)
}

// Own implements transport.OwningConfig.
func (c *Config) Own(bound net.Addr, uid, gid int) error {
	file, err := accept.OpenFile(bound.String())
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	defer file.Close()
	return c.own(file, uid, gid)
}

func (c *Config) own(file *accept.File, uid, gid int) error {
	uid, gid, err := c.owner(uid, gid)
	if err != nil {
		return err
	}
	// Who can't give it to the service can't become the service either, and is about
	// to say so.
	if err := file.Chown(uid, gid); err != nil && c.Owner+c.Group != "" {
		return fmt.Errorf("owner = %q, group = %q: %w", c.Owner, c.Group, err)
	}
	if err := file.Chmod(fs.FileMode(c.Mode)); err != nil {
		return fmt.Errorf("mode = %q: %w", c.Mode, err)
	}
	return nil
}

// bound does what Own does, for a file of this user. One of somebody else was
// handed over, as he wants it.
func (c *Config) bound(l net.Listener) error {
	file, err := accept.OpenFile(l.Addr().String())
	if err != nil {
		return fmt.Errorf("path: %w", err)
	}
	defer file.Close()
	if uid, _ := file.Owner(); uid != os.Geteuid() {
		return nil
	}
	return c.own(file, -1, -1)
}
