package process

import (
	"fmt"
	"slices"
	"strings"
)

// Rights are what the daemon may do besides what its user may, and how much it
// may use.
type Rights struct {
	// Capabilities are those of capabilities(7) that the daemon keeps, by
	// number. A daemon that stays root keeps all if there are none.
	Capabilities []int `json:"capabilities,omitempty"`

	Core   uint64 `json:"core"`    // bytes of the largest core file
	NoFile uint64 `json:"no_file"` // descriptors that may be open; 0: as the starter's

	// Writable are the directories below which alone files may be written, made
	// or removed, if there are any; the rest may be read.
	Writable []string `json:"writable,omitempty"`
}

// capabilities are the names of capabilities(7), by number.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE",
	"CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// ParseCapability returns the number of a capability: CAP_NET_BIND_SERVICE.
func ParseCapability(name string) (int, error) {
	if number := slices.Index(capabilities, strings.ToUpper(name)); number >= 0 {
		return number, nil
	}
	return 0, fmt.Errorf("unknown capability %q, capabilities(7) lists them: CAP_NET_BIND_SERVICE, …", name)
}

// CapabilityName is the reverse of ParseCapability.
func CapabilityName(number int) string { return capabilities[number] }
