package daemon

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"time"

	"example.com/feed/internal/config"
	"example.com/feed/internal/process"
)

// Settings is the section [daemon].
type Settings struct {
	User        string          `toml:"user" reload:"restart"`
	Group       string          `toml:"group" reload:"restart"`
	Umask       config.Mode     `toml:"umask" reload:"restart"`
	RunDir      config.Path     `toml:"run_dir" reload:"restart"`
	StateDir    config.Path     `toml:"state_dir" reload:"restart"`
	StopTimeout config.Duration `toml:"stop_timeout"`
}

// DefaultSettings are the values of the keys that a configuration leaves out.
func DefaultSettings() *Settings {
	return &Settings{Umask: 0o027, StopTimeout: config.Duration(25 * time.Second)}
}

// Validate implements config.Section. Whether a user exists is asked only of a
// super-user, who is the only one that can become another.
func (s *Settings) Validate(report func(key, reason string)) {
	if s.Umask > 0o777 {
		report("umask", fmt.Sprintf("must be at most 0777, is %#o", int(s.Umask)))
	}
	if s.StopTimeout <= 0 {
		report("stop_timeout", "must be more than 0")
	}
	if os.Geteuid() != 0 {
		return
	}
	if s.User == "" {
		report("user", `is missing: name the user to run as when root starts the service; "root" keeps the rights of root`)
		return
	}
	if _, err := process.LookupIdentity(s.User, s.Group); err != nil {
		key := "user"
		if _, err := process.LookupIdentity(s.User, "0"); err == nil {
			key = "group"
		}
		report(key, err.Error())
	}
}

// identity is whom the daemon is to become; nil if it stays who it is. The
// warning, if any, says that a user was asked for whom only root could become.
func (s *Settings) identity() (id *process.Identity, warning string, err error) {
	if os.Geteuid() == 0 {
		if s.User == "root" && s.Group == "" {
			return nil, "", nil
		}
		id, err = process.LookupIdentity(s.User, s.Group)
		return id, "", err
	}
	if s.User == "" {
		return nil, "", nil
	}
	uid := strconv.Itoa(os.Geteuid())
	if me, err := user.LookupId(uid); s.User == uid || err == nil && me.Username == s.User {
		return nil, "", nil
	}
	return nil, fmt.Sprintf("daemon.user = %q is ignored: only root can become another user", s.User), nil
}
