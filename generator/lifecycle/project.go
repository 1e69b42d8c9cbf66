package lifecycle

// What has to be known of a project: its name, and its configuration, of which
// the daemon gets a copy that keeps to the private folder.

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/daemongen/daemongen/generator"
)

// project is a project on the disk.
type project struct {
	root   string // absolute
	name   string
	config string // text of configs/NAME.toml
}

// readProject reads what is needed of the project in a folder.
func readProject(root string) (*project, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	manifest, err := os.ReadFile(filepath.Join(root, generator.ManifestName))
	if err != nil {
		return nil, err
	}
	spec, err := generator.ReadAnswers(manifest)
	if err == nil && (spec.Name == "" || spec.Name != filepath.Base(spec.Name)) {
		err = fmt.Errorf("name: %q is not a name", spec.Name)
	}
	if err != nil {
		return nil, &generator.FailedError{
			Err:  errors.New(generator.ManifestName + ": " + err.Error()),
			Hint: "put this right by hand, then type the command again",
		}
	}
	config, err := os.ReadFile(filepath.Join(root, "configs", spec.Name+".toml"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &generator.FailedError{
			Err:  fmt.Errorf("there is no configs/%s.toml to start the daemon with", spec.Name),
			Hint: "put the configuration back there",
		}
	}
	return &project{root, spec.Name, string(config)}, err
}

// prefix is how the variables of the service begin.
func (p *project) prefix() string {
	return strings.ToUpper(strings.ReplaceAll(p.name, "-", "_")) + "_"
}

// facts are the keys of a configuration that checks look at.
type facts struct {
	Daemon struct {
		User         string
		Group        string
		Umask        string
		Capabilities []string
	}
}

// facts reads them. A configuration that can't be read has none: the daemon
// will say what is wrong with it.
func (p *project) facts() facts {
	var f facts
	f.Daemon.Umask = "0027"
	_ = toml.Unmarshal([]byte(p.config), &f)
	return f
}

var (
	header  = regexp.MustCompile(`^\s*\[+\s*([^\]]+?)\s*\]+`)
	setting = regexp.MustCompile(`^(\s*)([A-Za-z0-9_-]+)(\s*=\s*)(.*)$`)
	address = regexp.MustCompile(`(")([a-z]+://)?[^"/]*:\d+(")`)
	quoted  = regexp.MustCompile(`^"([^"\\]+)"`)
)

// private returns the configuration as the daemon can have it beside any other
// daemon: on free ports of the loopback, with its files in dir. The ports of TCP
// that it will listen on are returned, too.
func (p *project) private(dir string) (config string, ports []int, err error) {
	section := ""
	lines := strings.Split(p.config, "\n")
	for i, line := range lines {
		if match := header.FindStringSubmatch(line); match != nil {
			section = match[1]
			continue
		}
		match := setting.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		key, value := match[2], match[4]
		switch key {
		case "listen":
			value = address.ReplaceAllStringFunc(value, func(found string) string {
				port, portErr := freePort()
				if portErr != nil {
					err = portErr
				}
				if !strings.Contains(section, "udp") {
					ports = append(ports, port)
				}
				scheme := address.FindStringSubmatch(found)[2]
				return fmt.Sprintf("%q", scheme+net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			})
		default:
			value = p.privateValue(section, key, value, dir)
		}
		lines[i] = match[1] + key + match[3] + value
	}
	return strings.Join(lines, "\n"), ports, err
}

// privateValue puts a path into dir; one that is there beside the project's
// configuration, such as a certificate, stays where it is.
func (p *project) privateValue(section, key, value, dir string) string {
	match := quoted.FindStringSubmatch(value)
	if match == nil {
		return value
	}
	path, rest := match[1], value[len(match[0]):]
	beside := filepath.Join(p.root, "configs", path)
	info, err := os.Stat(beside)
	switch {
	case section == "log" && key == "file":
		path = ""
	case !filepath.IsAbs(path) && err == nil && info.Mode().IsRegular():
		path = beside
	case key == "path":
		path = filepath.Join(dir, filepath.Base(path))
	}
	return fmt.Sprintf("%q", path) + rest
}

// freePort is a port of the loopback that is free for TCP and UDP. It is below
// those that outgoing connections are given, so that it stays free.
func freePort() (int, error) {
	for range 200 {
		port := 10000 + random(20000)
		place := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		stream, err := net.Listen("tcp", place)
		if err != nil {
			continue
		}
		packets, err := net.ListenPacket("udp", place)
		_ = stream.Close()
		if err != nil {
			continue
		}
		_ = packets.Close()
		return port, nil
	}
	return 0, errors.New("no port of 127.0.0.1 is free")
}

// withKey returns the configuration with a key set in a section, which is made
// if it is missing. The value is TOML.
func withKey(config, section, key, value string) string {
	lines := strings.Split(config, "\n")
	at, inside := -1, false
	for i, line := range lines {
		if match := header.FindStringSubmatch(line); match != nil {
			if inside = match[1] == section; inside {
				at = i
			}
			continue
		}
		if match := setting.FindStringSubmatch(line); match != nil && inside && match[2] == key {
			lines[i] = key + " = " + value
			return strings.Join(lines, "\n")
		}
	}
	if at < 0 {
		return config + "\n[" + section + "]\n" + key + " = " + value + "\n"
	}
	lines[at] += "\n" + key + " = " + value
	return strings.Join(lines, "\n")
}
