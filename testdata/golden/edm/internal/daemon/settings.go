package daemon

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/edm/internal/config"
	"example.com/edm/internal/process"
)

// Settings is the section [daemon].
type Settings struct {
	User           string          `toml:"user" reload:"restart"`
	Group          string          `toml:"group" reload:"restart"`
	Capabilities   []string        `toml:"capabilities" reload:"restart"`
	Sandbox        bool            `toml:"sandbox" reload:"restart"`
	Umask          config.Mode     `toml:"umask" reload:"restart"`
	NoFile         int             `toml:"nofile" reload:"restart"`
	CoreLimit      config.Size     `toml:"core_limit" reload:"restart"`
	Environment    []string        `toml:"environment" reload:"restart"`
	RunDir         config.Path     `toml:"run_dir" reload:"restart"`
	StateDir       config.Path     `toml:"state_dir" reload:"restart"`
	StopTimeout    config.Duration `toml:"stop_timeout"`
	UpgradeTimeout config.Duration `toml:"upgrade_timeout"`
}

// DefaultSettings are the values of the keys that a configuration leaves out.
func DefaultSettings() *Settings {
	return &Settings{
		Umask:          0o027,
		NoFile:         65536,
		StopTimeout:    config.Duration(25 * time.Second),
		UpgradeTimeout: config.Duration(5 * time.Minute),
	}
}

// minNoFile is room for the standard descriptors, the log, a database and a few
// connections.
const minNoFile = 64

// Validate implements config.Section. Whether a user exists is asked only of a
// super-user, who is the only one that can become another.
func (s *Settings) Validate(report func(key, reason string)) {
	if s.Umask > 0o777 {
		report("umask", fmt.Sprintf("must be at most 0777, is %#o", int(s.Umask)))
	}
	if s.StopTimeout <= 0 {
		report("stop_timeout", "must be more than 0")
	}
	if s.UpgradeTimeout <= 0 {
		report("upgrade_timeout", "must be more than 0")
	}
	if s.NoFile != 0 && s.NoFile < minNoFile {
		report("nofile", fmt.Sprintf("must be 0, to leave it as it is, or at least %d, is %d", minNoFile, s.NoFile))
	}
	for _, name := range s.Capabilities {
		if _, err := process.ParseCapability(name); err != nil {
			report("capabilities", err.Error())
		}
	}
	for _, name := range s.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			report("environment", fmt.Sprintf("%q is no name of a variable", name))
		}
	}
	if os.Geteuid() == 0 {
		s.validateUser(report)
	}
}

func (s *Settings) validateUser(report func(key, reason string)) {
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

// rights are what the daemon may do. The warning, if any, names capabilities
// that the starter does not have to give.
func (s *Settings) rights(dirs process.Dirs) (r process.Rights, warning string, err error) {
	r = process.Rights{Core: uint64(s.CoreLimit), NoFile: uint64(s.NoFile)}
	for _, name := range s.Capabilities {
		number, err := process.ParseCapability(name)
		if err != nil {
			return r, "", err
		}
		r.Capabilities = append(r.Capabilities, number)
	}
	if s.Sandbox {
		r.Writable = []string{dirs.State, dirs.Log, dirs.Run}
	}
	missing := r.Missing()
	if len(missing) == 0 {
		return r, "", nil
	}
	var have []int
	var names []string
	for _, number := range r.Capabilities {
		if slices.Contains(missing, number) {
			names = append(names, process.CapabilityName(number))
		} else {
			have = append(have, number)
		}
	}
	r.Capabilities = have
	return r, fmt.Sprintf("daemon.capabilities: %s is ignored: who starts the service does not have it", strings.Join(names, ", ")), nil
}
