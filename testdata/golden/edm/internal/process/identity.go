package process

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Identity is the user that the service runs as, with all its groups.
type Identity struct {
	Name   string   `json:"name"`
	Home   string   `json:"home"`
	UID    int      `json:"uid"`
	GID    int      `json:"gid"`
	Groups []uint32 `json:"groups"` // supplementary, as in the group database
}

func (id *Identity) String() string {
	return fmt.Sprintf("%s (uid %d, gid %d)", id.Name, id.UID, id.GID)
}

// LookupIdentity finds a user and a group by name or number. An empty group is
// the user's own. A number needs no entry in the user database; it then has no
// supplementary groups, and its group must be given.
func LookupIdentity(userName, groupName string) (*Identity, error) {
	id, err := lookupUser(userName)
	if err != nil {
		return nil, err
	}
	if groupName != "" {
		if id.GID, err = lookupGroup(groupName); err != nil {
			return nil, err
		}
	}
	if id.GID < 0 {
		return nil, fmt.Errorf("user %s has no entry that tells its group: name a group", userName)
	}
	return id, nil
}

func lookupUser(name string) (*Identity, error) {
	entry, err := user.Lookup(name)
	uid, isNumber := parseID(name)
	if err != nil && isNumber {
		entry, err = user.LookupId(name)
		if errors.As(err, new(user.UnknownUserIdError)) {
			return &Identity{Name: name, Home: "/", UID: uid, GID: -1}, nil
		}
	}
	if errors.As(err, new(user.UnknownUserError)) {
		return nil, fmt.Errorf("unknown user %q", name)
	}
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", name, err)
	}
	id := &Identity{Name: entry.Username, Home: entry.HomeDir}
	if id.UID, err = strconv.Atoi(entry.Uid); err != nil {
		return nil, err
	}
	if id.GID, err = strconv.Atoi(entry.Gid); err != nil {
		return nil, err
	}
	groups, err := entry.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, text := range groups {
		gid, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, err
		}
		id.Groups = append(id.Groups, uint32(gid))
	}
	return id, nil
}

func lookupGroup(name string) (int, error) {
	entry, err := user.LookupGroup(name)
	if err == nil {
		return strconv.Atoi(entry.Gid)
	}
	if gid, ok := parseID(name); ok {
		return gid, nil
	}
	if errors.As(err, new(user.UnknownGroupError)) {
		return -1, fmt.Errorf("unknown group %q", name)
	}
	return -1, fmt.Errorf("group %q: %w", name, err)
}

func parseID(text string) (int, bool) {
	id, err := strconv.ParseUint(text, 10, 31)
	return int(id), err == nil
}

// credential is the identity for a process to be started.
func (id *Identity) credential() *syscall.Credential {
	return &syscall.Credential{Uid: uint32(id.UID), Gid: uint32(id.GID), Groups: id.Groups}
}

// become gives up the rights of this process for good: the groups first, since
// only the super-user may change them, and the uid last. It checks that all of
// it happened and that there is no way back. On Linux the calls reach every
// thread.
func (id *Identity) become() error {
	groups := make([]int, len(id.Groups))
	for i, g := range id.Groups {
		groups[i] = int(g)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set the groups of %s: %w", id, err)
	}
	if err := syscall.Setgid(id.GID); err != nil {
		return fmt.Errorf("set the group of %s: %w", id, err)
	}
	if err := syscall.Setuid(id.UID); err != nil {
		return fmt.Errorf("set the user of %s: %w", id, err)
	}
	if os.Getuid() != id.UID || os.Geteuid() != id.UID || os.Getgid() != id.GID || os.Getegid() != id.GID {
		return fmt.Errorf("the process did not become %s", id)
	}
	if id.UID != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("the process that became %s can be root again", id)
	}
	return nil
}
