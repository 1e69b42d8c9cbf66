package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/job/internal/leftout"
)

func TestMain(m *testing.M) { os.Exit(leftout.Main(m)) }

// workerSection has a key of every type that TOML or this package knows.
type workerSection struct {
	Count    int               `toml:"count"`
	Queue    uint16            `toml:"queue"`
	Small    int8              `toml:"small"`
	Ratio    float64           `toml:"ratio"`
	Verbose  bool              `toml:"verbose"`
	Name     string            `toml:"name"`
	Timeout  Duration          `toml:"timeout"`
	Grace    time.Duration     `toml:"grace"`
	Buffer   Size              `toml:"buffer"`
	Umask    Mode              `toml:"umask" reload:"restart"`
	Password Secret            `toml:"password"`
	Dir      Path              `toml:"dir" reload:"restart"`
	Include  []Path            `toml:"include"`
	Hosts    []string          `toml:"hosts"`
	Ports    []uint16          `toml:"ports"`
	Delays   []Duration        `toml:"delays"`
	Labels   map[string]string `toml:"labels"`
	Colour   colour            `toml:"colour"`
	Stray    chan int          `toml:"stray"`
	TLS      tlsSection        `toml:"tls" reload:"restart"`
	embedded

	Ignored  string `toml:"-"`
	Untagged string
}

type tlsSection struct {
	Cert Path `toml:"cert"`
}

type embedded struct {
	Inner string `toml:"inner"`
}

// colour is a string that reads itself.
type colour string

func (c *colour) UnmarshalText(text []byte) error {
	if s := string(text); s != "red" && s != "green" {
		return fmt.Errorf("must be red or green, is %q", s)
	}
	*c = colour(text)
	return nil
}

func (s *workerSection) Validate(report func(key, reason string)) {
	if s.Count < 1 {
		report("count", fmt.Sprintf("must be at least 1, is %d", s.Count))
	}
	if s.TLS.Cert == "/forbidden" {
		report("tls.cert", "is forbidden")
	}
	if s.Name == "impossible" {
		report("", "contradicts itself")
	}
}

type listenSection struct {
	Listen string `toml:"listen"`
}

func (s *listenSection) Validate(report func(key, reason string)) {
	if s.Listen == "" {
		report("listen", "is missing")
	}
}

// newTables returns a core section and two optional ones, with defaults.
func newTables() ([]*Table, *workerSection) {
	worker := &workerSection{Count: 4, Name: "default", Timeout: Duration(time.Second)}
	return []*Table{
		{Name: "worker", Section: worker},
		{Name: "transport.tcp", Section: &listenSection{}},
		{Name: "transport.udp", Section: &listenSection{Listen: "127.0.0.1:53"}},
	}, worker
}

// write puts a configuration file into a directory of its own.
func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// environ looks variables up in a map.
func environ(variables map[string]string) Options {
	return Options{Prefix: "TEST_", LookupEnv: func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	}}
}

// load returns the problems without the name of the file.
func load(t *testing.T, text string, variables map[string]string) []string {
	t.Helper()
	file := write(t, text)
	tables, _ := newTables()
	return problemLines(t, Load(file, environ(variables), tables), file)
}

func problemLines(t *testing.T, err error, file string) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("the error is %T (%v), want Problems", err, err)
	}
	for _, p := range problems {
		if p.Reason == "" {
			t.Errorf("a problem without a reason: %+v", p)
		}
	}
	return strings.Split(strings.ReplaceAll(err.Error(), file+":", ""), "\n")
}

// pitfall 38
func TestLoadBroken(t *testing.T) {
	const (
		workerKeys = "buffer, colour, count, delays, dir, grace, hosts, include, inner, labels, name, password, password_file, ports, queue, ratio, small, stray, timeout, umask, verbose"
		tables     = "transport.tcp, transport.udp, worker"
	)
	tests := []struct {
		name, text string
		want       []string
	}{
		// Syntax: the first error only.
		{"header not closed", "[worker\ncount = 1\n", []string{"1:8: syntax error: expected ']' to close table name"}},
		{"no value", "[worker]\ncount =\n", []string{"2:8: syntax error: unexpected character U+000A at start of value"}},
		{"string not closed", "[worker]\nname = \"abc\nqueue = 1\n", []string{"2:12: syntax error: basic strings cannot have new lines"}},
		{"two keys on a line", "[worker]\ncount = 1 queue = 2\n", []string{"2:11: syntax error: expected newline but got U+0071 'q'"}},
		{"leading zero", "[worker]\numask = 0027\n", []string{"2:9: syntax error: integers cannot have leading zeroes"}},
		{"NUL", "[worker]\nco\x00unt = 1\n", []string{"2:3: syntax error: expected '=' after key"}},
		{"NUL in a comment", "# a\x00b\n", []string{"1:4: syntax error: control characters are not allowed in comments"}},
		{"only NULs", "\x00\x00\x00\x00", []string{"1:1: syntax error: invalid character at start of key: U+0000"}},
		{"not UTF-8", "[worker]\nname = \"\xff\"\n", []string{"2:9: syntax error: invalid UTF-8 character in basic string"}},
		{"UTF-16", "\xff\xfe[\x00w\x00]\x00", []string{"1:1: syntax error: invalid character at start of key: U+00FF 'ÿ'"}},
		{"CRLF", "[worker]\r\ncount = 0\r\n", []string{"2:1: worker.count: must be at least 1, is 0"}},
		{"byte order mark", "\ufeff[worker]\ncount = 0\n", []string{"2:1: worker.count: must be at least 1, is 0"}},
		{"nested too deeply", "a = " + strings.Repeat("[", 20000), []string{"1:10005: syntax error: arrays and inline tables are nested more than the maximum of 10000 levels deep"}},

		// Structure.
		{"key twice", "[worker]\ncount = 1\n  count = 2\n", []string{"3:3: worker.count: key count is already defined"}},
		{"section twice", "[worker]\ncount = 0\n[worker]\nqueue = -1\n", []string{"2:1: worker.count: must be at least 1, is 0", "3:2: worker: table worker already exists"}},
		{"integer too large for any type", "[worker]\ncount = 99999999999999999999\nqueue = -1\n", []string{
			"2:9: worker.count: decimal number is too large to fit in a 64-bit signed integer",
			"3:1: worker.queue: must be from 0 to 65535, is -1",
		}},
		{"impossible date", "[worker]\nname = 2026-13-45\n", []string{"2:13: worker.name: impossible date"}},

		// Types.
		{"string for an integer", "[worker]\ncount = \"4\"\n", []string{"2:1: worker.count: must be an integer, is a string"}},
		{"float for an integer", "[worker]\ncount = 4.0\n", []string{"2:1: worker.count: must be an integer, is a float"}},
		{"integer for a string", "[worker]\nname = 4\n", []string{"2:1: worker.name: must be a string, is an integer"}},
		{"integer for a boolean", "[worker]\nverbose = 1\n", []string{"2:1: worker.verbose: must be true or false, is an integer"}},
		{"string for a number", "[worker]\nratio = \"1\"\n", []string{"2:1: worker.ratio: must be a number, is a string"}},
		{"string for a list", "[worker]\nhosts = \"a\"\n", []string{"2:1: worker.hosts: must be a list, is a string"}},
		{"wrong item", "[worker]\nhosts = [\"a\", 2]\n", []string{"2:1: worker.hosts: item 2 must be a string, is an integer"}},
		{"list in a list", "[worker]\nhosts = [[\"a\"]]\n", []string{"2:1: worker.hosts: item 1 must be a string, is a list"}},
		{"table for an integer", "[worker.count]\nx = 1\n", []string{"1:2: worker.count: must be an integer, is a table"}},
		{"dotted key below an integer", "[worker]\ncount.x = 1\n", []string{"2:1: worker.count: must be an integer, is a table"}},
		{"date for a string", "[worker]\nname = 2026-01-02\n", []string{"2:1: worker.name: must be a string, is a date or time"}},
		{"wrong value in a table", "[worker.labels]\na = \"x\"\n\"b c\" = 2\n", []string{`1:2: worker.labels: "b c" must be a string, is an integer`}},
		{"list for a table", "[worker]\nlabels = []\n", []string{"2:1: worker.labels: must be a table, is a list"}},
		{"integer for a secret", "[worker]\npassword = 12345\n", []string{"2:1: worker.password: must be a string, is an integer"}},
		{"type that no value fits", "[worker]\nstray = 1\n", []string{"2:1: worker.stray: has the Go type chan int, which no value fits"}},

		// Ranges.
		{"out of int8", "[worker]\nsmall = -129\n", []string{"2:1: worker.small: must be from -128 to 127, is -129"}},
		{"out of uint16", "[worker]\nqueue = 65536\n", []string{"2:1: worker.queue: must be from 0 to 65535, is 65536"}},
		{"item out of range", "[worker]\nports = [1, 65536]\n", []string{"2:1: worker.ports: item 2 must be from 0 to 65535, is 65536"}},
		{"not a number", "[worker]\nratio = nan\n", []string{"2:1: worker.ratio: must be a finite number, is NaN"}},
		{"infinite", "[worker]\nratio = -inf\n", []string{"2:1: worker.ratio: must be a finite number, is -Inf"}},
		{"duration without a unit", "[worker]\ntimeout = \"30\"\n", []string{`2:1: worker.timeout: must be a duration such as "30s" or "1h30m", is "30"`}},
		{"duration as an integer", "[worker]\ntimeout = 30\ngrace = 30\n", []string{
			`2:1: worker.timeout: must be a string such as "30s", is an integer`,
			`3:1: worker.grace: must be a string such as "30s", is an integer`,
		}},
		{"negative duration", "[worker]\ntimeout = \"-1s\"\n", []string{"2:1: worker.timeout: must not be negative, is -1s"}},
		{"wrong duration in a list", "[worker]\ndelays = [\"1s\", \"x\"]\n", []string{`2:1: worker.delays: item 2 must be a duration such as "30s" or "1h30m", is "x"`}},
		{"size in a wrong unit", "[worker]\nbuffer = \"64KB\"\n", []string{`2:1: worker.buffer: must be a size such as "64KiB", "1MiB" or "2GiB", is "64KB"`}},
		{"negative size", "[worker]\nbuffer = -1\n", []string{"2:1: worker.buffer: must not be negative, is -1"}},
		{"size as a boolean", "[worker]\nbuffer = true\n", []string{`2:1: worker.buffer: must be a string such as "64KiB", or an integer, is a boolean`}},
		{"mode not octal", "[worker]\numask = \"0028\"\n", []string{`2:1: worker.umask: must be octal digits, at most "7777", such as "0027", is "0028"`}},
		{"mode as an integer", "[worker]\numask = 27\n", []string{`2:1: worker.umask: must be a string such as "0027", is an integer`}},
		{"text of a type of the section", "[worker]\ncolour = \"blue\"\n", []string{`2:1: worker.colour: must be red or green, is "blue"`}},
		{"integer for such a type", "[worker]\ncolour = 1\n", []string{"2:1: worker.colour: must be a string, is an integer"}},

		// What is not known.
		{"unknown key", "[worker]\ncuont = 3\n", []string{"2:1: worker.cuont: unknown key; did you mean count?"}},
		{"key in the wrong case", "[worker]\nCount = 3\n", []string{"2:1: worker.Count: unknown key; did you mean count?"}},
		{"key unlike any", "[worker]\nx = 3\n", []string{"2:1: worker.x: unknown key; known are " + workerKeys}},
		{"dotted unknown key", "worker.cuont = 3\n", []string{"1:8: worker.cuont: unknown key; did you mean count?"}},
		{"unknown key in an inline table", "transport = {tcp = {listne = \"x\", listen = \"y\"}}\n", []string{"1:21: transport.tcp.listne: unknown key; did you mean listen?"}},
		{"unknown key in a section of a section", "[worker.tls]\nkey = \"x\"\n", []string{"2:1: worker.tls.key: unknown key; known are cert"}},
		{"quoted key that looks dotted", "\"worker.count\" = 3\n", []string{`1:1: "worker.count": unknown key outside of the sections, which are ` + tables}},
		{"key with a control character", "[worker]\n\"a\\u001b[2J\" = 3\n", []string{`2:1: worker."a\x1b[2J": unknown key; known are ` + workerKeys}},
		{"empty key", "[worker]\n\"\" = 3\n", []string{`2:1: worker."": unknown key; known are ` + workerKeys}},
		{"key outside of sections", "count = 3\n", []string{"1:1: count: unknown key outside of the sections, which are " + tables}},
		{"key between sections", "[transport]\nlisten = \"x\"\n", []string{"2:1: transport.listen: unknown key outside of the sections, which are transport.tcp, transport.udp"}},
		{"unknown section", "[wroker]\ncount = 1\nqueue = 2\n", []string{"1:2: wroker: unknown section; known are " + tables}},
		{"unknown section of a kind", "[transport.nosuch]\na = 1\nb = 2\n", []string{"1:2: transport.nosuch: unknown section; known are transport.tcp, transport.udp"}},
		{"list of unknown sections", "[[wroker]]\n[[wroker]]\n", []string{"1:3: wroker: unknown section; known are " + tables}},
		{"section in the wrong case", "[Worker]\ncount = 1\n", []string{"1:2: Worker: unknown section; known are " + tables}},
		{"field without a tag", "[worker]\nUntagged = \"\"\n", []string{"2:1: worker.Untagged: unknown key; known are " + workerKeys}},
		{"field that is no key", "[worker]\nIgnored = \"\"\n", []string{"2:1: worker.Ignored: unknown key; known are " + workerKeys}},
		{"value for a section", "worker = 3\n", []string{"1:1: worker: is a section and must be written [worker]"}},
		{"list for a section", "worker = [{count = 1}]\n", []string{"1:1: worker: is a section and must be written [worker]"}},
		{"list of a section", "[[worker]]\ncount = 1\n[[worker]]\ncount = 2\n", []string{"1:3: worker: is a section and must be written [worker]"}},
		{"value above sections", "transport = 3\n", []string{"1:1: transport: is a section and must be written [transport]"}},
		{"very long name", "[" + strings.Repeat("a.", 20) + "a]\n", []string{"1:2: a: unknown section; known are " + tables}},

		// Validation.
		{"missing key, at the section", "\n[transport.tcp]\n", []string{"2:2: transport.tcp.listen: is missing"}},
		{"at the section's own header", "[worker]\n[transport.udp]\n[transport.tcp]\n", []string{"3:2: transport.tcp.listen: is missing"}},
		{"key of a section of a section", "[worker.tls]\ncert = \"/forbidden\"\n", []string{"2:1: worker.tls.cert: is forbidden"}},
		{"the section as a whole", "\n[worker]\nname = \"impossible\"\n", []string{"2:2: worker: contradicts itself"}},
		{"default out of range only where nothing else is wrong", "[worker]\ncount = \"x\"\n", []string{"2:1: worker.count: must be an integer, is a string"}},

		{"everything at once", `# a comment
[worker]
count = 0
cuont = 3
queue = "many"
timeout = "soon"
small = 300
small = 2
[wroker]
x = 1

[transport.tcp]

[transport.nosuch]
`, []string{
			"3:1: worker.count: must be at least 1, is 0",
			"4:1: worker.cuont: unknown key; did you mean count?",
			"5:1: worker.queue: must be an integer, is a string",
			`6:1: worker.timeout: must be a duration such as "30s" or "1h30m", is "soon"`,
			"8:1: worker.small: key small is already defined",
			"9:2: wroker: unknown section; known are " + tables,
			"12:2: transport.tcp.listen: is missing",
			"14:2: transport.nosuch: unknown section; known are transport.tcp, transport.udp",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := load(t, test.text, nil)
			if !slices.Equal(got, test.want) {
				t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// pitfall 38
func TestLoadFile(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, []byte(strings.Repeat("#\n", MaxFile/2)+"#"), 0o600); err != nil {
		t.Fatal(err)
	}
	unreadable := filepath.Join(dir, "unreadable")
	if err := os.WriteFile(unreadable, nil, 0); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file, reason string
		is                 error
	}{
		{"missing", filepath.Join(dir, "none"), "no such file or directory", fs.ErrNotExist},
		{"in a missing directory", filepath.Join(dir, "none", "none"), "no such file or directory", fs.ErrNotExist},
		{"directory", dir, "is a directory", syscall.EISDIR},
		{"pipe without a writer", pipe, "is not a regular file", nil},
		{"too large", large, "is larger than 256KiB", nil},
		{"unreadable", unreadable, "permission denied", fs.ErrPermission},
		{"no name", "", "no such file or directory", fs.ErrNotExist},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "unreadable" {
				leftout.Other(t)
			}
			tables, _ := newTables()
			err := Load(test.file, Options{}, tables)
			var problems Problems
			if !errors.As(err, &problems) || len(problems) != 1 {
				t.Fatalf("error %v, want one problem", err)
			}
			if got, want := err.Error(), test.file+": "+test.reason; got != want {
				t.Errorf("error %q, want %q", got, want)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %v is not %v", err, test.is)
			}
		})
	}
}

func TestLoadNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "\ufeff", "\r\n"} {
		tables, worker := newTables()
		worker.Ratio = 0.5
		if err := Load(write(t, text), Options{}, tables); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if worker.Count != 4 || worker.Name != "default" || worker.Ratio != 0.5 {
			t.Errorf("%q: the defaults became %+v", text, worker)
		}
		for _, table := range tables {
			if table.Present {
				t.Errorf("%q: %s is present", text, table.Name)
			}
		}
	}
}

func TestLoadValues(t *testing.T) {
	file := write(t, `
[worker]
count = 0x10
queue = 65_535
small = -128
ratio = 2
verbose = true
name = 'lite"ral'
timeout = "1m30s"
grace = "5s"
buffer = "64 KiB"
umask = "0027"
password = "hunter2"
dir = "data/../state"
include = ["a", "/b"]
hosts = ["a", "b"]
ports = []
delays = ["1s", "2s"]
colour = "red"
labels = {x = "1"}
tls.cert = "cert.pem"
inner = "within"
[transport]
tcp = {listen = "127.0.0.1:7000"}
`)
	tables, got := newTables()
	got.Ports = []uint16{1}
	got.Labels = map[string]string{"default": "gone"}
	if err := Load(file, Options{}, tables); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	want := workerSection{
		Count: 16, Queue: 65535, Small: -128, Ratio: 2, Verbose: true, Name: `lite"ral`,
		Timeout: Duration(90 * time.Second), Grace: 5 * time.Second, Buffer: 64 << 10, Umask: 0o27,
		Password: "hunter2", Dir: Path(dir + "/state"), Include: []Path{Path(dir + "/a"), "/b"},
		Hosts: []string{"a", "b"}, Ports: []uint16{}, Delays: []Duration{Duration(time.Second), Duration(2 * time.Second)},
		Colour: "red", Labels: map[string]string{"x": "1"}, TLS: tlsSection{Cert: Path(dir + "/cert.pem")},
		embedded: embedded{Inner: "within"},
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("read %+v\nwant %+v", *got, want)
	}
	if !tables[0].Present || !tables[1].Present || tables[2].Present {
		t.Errorf("present are %v, %v, %v; want true, true, false", tables[0].Present, tables[1].Present, tables[2].Present)
	}
}

func TestLoadEnvironment(t *testing.T) {
	file := write(t, "[worker]\ncount = 1\nname = \"file\"\n")
	tables, got := newTables()
	err := Load(file, environ(map[string]string{
		"TEST_WORKER_COUNT":         "7",
		"TEST_WORKER_QUEUE":         "8",
		"TEST_WORKER_SMALL":         "-9",
		"TEST_WORKER_RATIO":         "0.25",
		"TEST_WORKER_VERBOSE":       "true",
		"TEST_WORKER_NAME":          "",
		"TEST_WORKER_TIMEOUT":       "2m",
		"TEST_WORKER_BUFFER":        "1MiB",
		"TEST_WORKER_UMASK":         "077",
		"TEST_WORKER_PASSWORD":      "hunter2",
		"TEST_WORKER_DIR":           "state",
		"TEST_WORKER_INCLUDE":       "a, /b",
		"TEST_WORKER_HOSTS":         "",
		"TEST_WORKER_PORTS":         "1,2",
		"TEST_WORKER_COLOUR":        "green",
		"TEST_WORKER_TLS_CERT":      "/cert.pem",
		"TEST_TRANSPORT_TCP_LISTEN": "127.0.0.1:1",
		"TEST_CONFIG":               "left alone",
		"TEST_WORKER_NOSUCH":        "left alone",
	}), tables)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	want := workerSection{
		Count: 7, Queue: 8, Small: -9, Ratio: 0.25, Verbose: true, Timeout: Duration(2 * time.Minute), Buffer: 1 << 20,
		Umask: 0o77, Password: "hunter2", Dir: Path(dir + "/state"), Include: []Path{Path(dir + "/a"), "/b"},
		Hosts: []string{}, Ports: []uint16{1, 2}, Colour: "green", TLS: tlsSection{Cert: "/cert.pem"},
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("read %+v\nwant %+v", *got, want)
	}
	if !tables[1].Present || tables[2].Present {
		t.Errorf("transport.tcp present: %v, transport.udp: %v; want true, false", tables[1].Present, tables[2].Present)
	}
}

func TestLoadEnvironmentBroken(t *testing.T) {
	got := load(t, "[worker]\nqueue = -1\ncount = 3\n[transport.udp]\n", map[string]string{
		"TEST_WORKER_COUNT":         "0",
		"TEST_WORKER_QUEUE":         "x",
		"TEST_WORKER_SMALL":         "300",
		"TEST_WORKER_VERBOSE":       "maybe",
		"TEST_WORKER_RATIO":         "NaN",
		"TEST_WORKER_TIMEOUT":       "-1s",
		"TEST_WORKER_PORTS":         "1,,2",
		"TEST_WORKER_LABELS":        "a=b",
		"TEST_TRANSPORT_TCP_LISTEN": "",
	})
	want := []string{
		"2:1: worker.queue: must be from 0 to 65535, is -1",
		"environment variable TEST_TRANSPORT_TCP_LISTEN: transport.tcp.listen: is missing",
		"environment variable TEST_WORKER_COUNT: worker.count: must be at least 1, is 0",
		"environment variable TEST_WORKER_LABELS: worker.labels: is a table, which the environment can't set",
		`environment variable TEST_WORKER_PORTS: worker.ports: item 2 must be an integer, is ""`,
		`environment variable TEST_WORKER_QUEUE: worker.queue: must be an integer, is "x"`,
		"environment variable TEST_WORKER_RATIO: worker.ratio: must be a finite number, is NaN",
		"environment variable TEST_WORKER_SMALL: worker.small: must be from -128 to 127, is 300",
		"environment variable TEST_WORKER_TIMEOUT: worker.timeout: must not be negative, is -1s",
		`environment variable TEST_WORKER_VERBOSE: worker.verbose: must be true or false, is "maybe"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Without a prefix WORKER_COUNT would count, which may be anybody's.
func TestLoadWithoutPrefix(t *testing.T) {
	t.Setenv("WORKER_COUNT", "9")
	tables, worker := newTables()
	if err := Load(write(t, ""), Options{}, tables); err != nil {
		t.Fatal(err)
	}
	if worker.Count != 4 {
		t.Errorf("count is %d, want the default", worker.Count)
	}
}

func TestLoadProcessEnvironment(t *testing.T) {
	t.Setenv("TEST_WORKER_COUNT", "9")
	tables, worker := newTables()
	if err := Load(write(t, ""), Options{Prefix: "TEST_"}, tables); err != nil {
		t.Fatal(err)
	}
	if worker.Count != 9 {
		t.Errorf("count is %d, want 9", worker.Count)
	}
}

func TestVariableName(t *testing.T) {
	if got, want := variableName("component.dead-letters.max_size"), "COMPONENT_DEAD_LETTERS_MAX_SIZE"; got != want {
		t.Errorf("variable %s, want %s", got, want)
	}
}

// pitfall 21: relative paths hold wherever the process stands.
func TestLoadRelativeFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.Mkdir("etc", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("etc/test.toml", []byte("[worker]\ndir = \"../var\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tables, worker := newTables()
	if err := Load("etc/test.toml", Options{}, tables); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if want := Path(filepath.Join(here, "var")); worker.Dir != want {
		t.Errorf("dir is %q, want %q", worker.Dir, want)
	}
}

// A file of many names must not take the service's time or memory.
func TestLoadHostile(t *testing.T) {
	for name, text := range map[string]string{
		"deep header":       "[" + strings.Repeat("a.", MaxFile/2-8) + "a]\n",
		"deep inline table": strings.Repeat("{a=", 9000) + "1" + strings.Repeat("}", 9000),
		"long key":          strings.Repeat("a", MaxFile-8) + "=1\n",
		"many duplicates":   "[worker]\n" + strings.Repeat("count=1\n", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			if got := load(t, text, nil); len(got) == 0 {
				t.Error("no problem was found")
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "[worker]\ncount = 1\n", "worker = {count = 1, tls = {cert = \"x\"}}\n", "[[worker]]\n[worker.labels]\na = \"b\"\n",
		"[transport.tcp]\nlisten = \"x\"\n[transport]\ntcp.listen = 3\n", "\"\\u0000\" = 1\n", "worker.count = 1\nworker.count = 2\n",
		"[worker]\ntimeout = 07:32:00\nports = [1,\n2]\n", "\xef\xbb\xbf[worker]\r\nbuffer = 1_0\r\n", "[worker]\nname = \"\"\"a\nb\"\"\"\nname = 1\n",
	} {
		f.Add([]byte(seed))
	}
	file := filepath.Join(f.TempDir(), "test.toml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		tables, _ := newTables()
		err := Load(file, Options{}, tables)
		problemLines(t, err, file)
		var problems Problems
		errors.As(err, &problems)
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Line > strings.Count(string(text), "\n")+1 {
				if len(text) <= MaxFile {
					t.Errorf("a problem outside of the file: %v", p)
				}
			}
		}
	})
}
