package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/daemongen/daemongen/generator"
)

// projectIn writes a project of which there is little but the configuration.
func projectIn(t *testing.T, config string) *project {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		generator.ManifestName:     `{"name": "my-feed"}`,
		"configs/my-feed.toml":     config,
		"configs/certs/server.pem": "a certificate",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := readProject(root)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPrivate(t *testing.T) {
	p := projectIn(t, `# listen = "0.0.0.0:1"
[daemon]
user = "nobody" # who
[log]
level = "info"
file = "/var/log/my-feed.log"
[transport.tcp]
listen = "0.0.0.0:7000" # anywhere
cert = "certs/server.pem"
[transport.udp]
	listen = ":7001"
[transport.unix]
path = "/run/my-feed/in.sock" # the socket
[transport.zeromq]
listen = "tcp://[::1]:5555"
[transport.ipc]
listen = "ipc:///run/x"
[component.health]
listen = ["127.0.0.1:1", "[::1]:2"]
[database.sqlite]
path = ""
`)
	if p.name != "my-feed" || p.prefix() != "MY_FEED_" {
		t.Errorf("name %q, prefix %q", p.name, p.prefix())
	}
	config, ports, err := p.private("/private")
	if err != nil {
		t.Fatal(err)
	}
	want := `# listen = "0.0.0.0:1"
[daemon]
user = "nobody" # who
[log]
level = "info"
file = ""
[transport.tcp]
listen = "127.0.0.1:PORT" # anywhere
cert = "` + p.root + `/configs/certs/server.pem"
[transport.udp]
	listen = "127.0.0.1:PORT"
[transport.unix]
path = "/private/in.sock" # the socket
[transport.zeromq]
listen = "tcp://127.0.0.1:PORT"
[transport.ipc]
listen = "ipc:///run/x"
[component.health]
listen = ["127.0.0.1:PORT", "127.0.0.1:PORT"]
[database.sqlite]
path = ""
`
	if got := regexp.MustCompile(`127.0.0.1:\d+`).ReplaceAllString(config, "127.0.0.1:PORT"); got != want {
		t.Errorf("the private configuration is\n%s\nwant\n%s", got, want)
	}
	if len(ports) != 4 {
		t.Errorf("ports %v, want those of tcp, zeromq and health", ports)
	}
	for _, port := range ports {
		if !strings.Contains(config, fmt.Sprint(port)) {
			t.Errorf("port %d is not in\n%s", port, config)
		}
	}
}

func TestWithKey(t *testing.T) {
	const config = "# worker\n[worker]\ncount = 1 # few\n\n[log]\ncount = 2\n"
	for _, c := range []struct{ section, key, want string }{
		{"worker", "count", "# worker\n[worker]\ncount = 9\n\n[log]\ncount = 2\n"},
		{"log", "count", "# worker\n[worker]\ncount = 1 # few\n\n[log]\ncount = 9\n"},
		{"log", "level", "# worker\n[worker]\ncount = 1 # few\n\n[log]\nlevel = 9\ncount = 2\n"},
		{"daemon", "umask", config + "\n[daemon]\numask = 9\n"},
	} {
		if got := withKey(config, c.section, c.key, "9"); got != c.want {
			t.Errorf("%s.%s: %q, want %q", c.section, c.key, got, c.want)
		}
	}
}

func TestFacts(t *testing.T) {
	p := projectIn(t, "[daemon]\nuser = \"root\"\ncapabilities = [\"CAP_KILL\"]\n")
	if f := p.facts().Daemon; f.User != "root" || f.Umask != "0027" || len(f.Capabilities) != 1 {
		t.Errorf("%+v", f)
	}
	p = projectIn(t, "[daemon\n")
	if f := p.facts().Daemon; f.Umask != "0027" {
		t.Errorf("of a broken configuration: %+v", f)
	}
}
