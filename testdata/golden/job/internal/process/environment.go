package process

import (
	"os"
	"slices"
	"strings"
)

// kept are the variables of the caller that a daemon keeps: the locale, the
// time zone, the limits of the runtime, and where to find certificates.
// LD_PRELOAD, GODEBUG and the secrets of the caller's session stay behind.
var kept = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR",
	"GOMAXPROCS", "GOMEMLIMIT", "GOGC", "GOTRACEBACK", "GORACE",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

// credentialsVariable says where a supervisor has put secrets of the service
// (systemd.exec(5)), which are none of a job's business.
const credentialsVariable = "CREDENTIALS_DIRECTORY"

// Environ returns the environment of the daemon that h describes, and sets
// h.Settings: the variables that begin with prefix are the service's own
// settings, and so is where its secrets are. The names in more are kept as well.
func (h *Handover) Environ(prefix string, more []string) []string {
	var env []string
	settings := h.Settings
	for _, variable := range os.Environ() {
		key, _, _ := strings.Cut(variable, "=")
		switch {
		case h.User != nil && (key == "HOME" || key == "USER" || key == "LOGNAME"):
		case slices.Contains(kept, key), slices.Contains(more, key), strings.HasPrefix(key, "LC_"):
			env = append(env, variable)
		}
		if h.Settings == nil && (strings.HasPrefix(key, prefix) || key == credentialsVariable) {
			settings = append(settings, variable)
		}
	}
	if settings == nil {
		settings = []string{}
	}
	h.Settings = settings
	if h.User != nil {
		env = append(env, "HOME="+h.User.Home, "USER="+h.User.Name, "LOGNAME="+h.User.Name)
	}
	return env
}
