package generator

import (
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

const settingsConfig = `# Configuration.

# The process.
[daemon]
# who: it is somebody = nobody
user = "nobody"
# group = "nogroup"   # the user's own
  #run_dir = '/run'
umask = "0027"

# Work.
[worker]
count = 4   # goroutines
share = 0.5
eager = false
lines = [
  "one", # = "two"
# inside = "a value"
]
since = 2020-01-01
# last = 1

# belongs = "below"
[transport.tcp]
listen = "127.0.0.1:7000"
text = """
# inside = 1
"""
`

func TestSettings(t *testing.T) {
	for _, test := range []struct{ key, value, old, new string }{
		{"daemon.user", "me", `user = "nobody"`, `user = "me"`},
		{"daemon.user", "nobody", "", ""},
		{"daemon.user", `a"b\c`, `user = "nobody"`, `user = "a\"b\\c"`},
		{"daemon.user", `'quoted'`, `user = "nobody"`, `user = 'quoted'`},
		{"daemon.user", "tab\there\n", `user = "nobody"`, `user = "tab\u0009here\u000A"`},
		{"daemon.user", "", `user = "nobody"`, `user = ""`},
		{"daemon.user", "ümlaut # x", `user = "nobody"`, `user = "ümlaut # x"`},
		{"daemon.group", "staff", `# group = "nogroup"   # the`, `group = "staff"   # the`},
		{"daemon.group", "nogroup", `# group = "nogroup"`, `group = "nogroup"`},
		{"daemon.run_dir", "/tmp", `  #run_dir = '/run'`, `  run_dir = "/tmp"`},
		{"worker.count", "17", "count = 4   #", "count = 17   #"},
		{"worker.count", "0x10", "count = 4", "count = 0x10"},
		{"worker.share", "2", "share = 0.5", "share = 2.0"},
		{"worker.share", "1e3", "share = 0.5", "share = 1e3"},
		{"worker.eager", "true", "eager = false", "eager = true"},
		{"worker.lines", `["x"]`, "lines = [\n  \"one\", # = \"two\"\n# inside = \"a value\"\n]", `lines = ["x"]`},
		{"worker.since", "2021-02-03", "since = 2020-01-01", "since = 2021-02-03"},
		{"worker.last", "2", "# last = 1", "last = 2"},
		{"transport.tcp.listen", ":80", `"127.0.0.1:7000"`, `":80"`},
	} {
		got, problem := applySetting([]byte(settingsConfig), setting{"set", test.key, test.value})
		if problem != nil {
			t.Errorf("%s=%s: %v", test.key, test.value, problem)
			continue
		}
		want := strings.Replace(settingsConfig, test.old, test.new, 1)
		same(t, test.key+"="+test.value, got, []byte(want))
		if err := toml.Unmarshal(got, new(map[string]any)); err != nil {
			t.Errorf("%s=%s: %v", test.key, test.value, err)
		}
	}
}

func TestSettingsRefused(t *testing.T) {
	for _, test := range []struct{ key, value, reason, hint string }{
		{"user", "x", `"user" names no section`, "section.key=value"},
		{"", "x", `"" names no section`, "section.key=value"},
		{"daemo.user", "x", `there is no section [daemo]`, `did you mean "daemon"?`},
		{"zzzzzzzz.user", "x", `there is no section [zzzzzzzz]`, "one of daemon, worker, transport.tcp"},
		{"daemon.usr", "x", `section [daemon] has no key "usr"`, `did you mean "user"?`},
		{"daemon.zzzzzzzz", "x", `section [daemon] has no key "zzzzzzzz"`, "one of user, umask, group, run_dir"},
		{"worker.inside", "x", `has no key "inside"`, ""},
		{"worker.belongs", "x", `has no key "belongs"`, ""},
		{"transport.tcp.inside", "2", `has no key "inside"`, ""},
		{"worker.count", "many", `"many" is not a whole number, as the default 4 is`, ""},
		{"worker.count", "1.5", `is not a whole number`, ""},
		{"worker.count", "1\nuser = 2", `is not a whole number`, ""},
		{"worker.count", "1 # one", `is not a whole number`, ""},
		{"worker.count", "", `is not a whole number`, ""},
		{"worker.share", "half", `is not a number`, ""},
		{"worker.eager", "yes", `is not true or false`, ""},
		{"worker.lines", "x", `is not a list`, ""},
		{"worker.since", "today", `is not a time`, ""},
		{"daemon.user", "\xff", "is not UTF-8", ""},
	} {
		got, problem := applySetting([]byte(settingsConfig), setting{"set", test.key, test.value})
		if problem == nil {
			t.Errorf("%s=%s: taken:\n%s", test.key, test.value, got)
			continue
		}
		if problem.Field != "set" || !strings.Contains(problem.Reason, test.reason) || !strings.Contains(problem.Hint, test.hint) {
			t.Errorf("%s=%s: %+v", test.key, test.value, *problem)
		}
	}
}

// A project begins with the values that were asked for, and the additions that
// come later don't change them.
func TestSettingsOfProject(t *testing.T) {
	src := readHouse(t, smallHouse(t))
	spec := Spec{Name: "feed", Transports: []string{"tcp"}, User: "me", Group: "us", Set: map[string]string{
		"worker.count":         "7",
		"transport.tcp.listen": ":81",
	}}
	root := written(t, mustPlan(t, src, spec))
	mustAdd(t, src, root, addedRefs...)
	config := diskFiles(t, root)["configs/feed.toml"]
	for _, line := range []string{`user = "me"`, `group = "us"`, `count = 7 `, `listen = ":81"`, "[transport.carrier]"} {
		if !strings.Contains(config, line) {
			t.Errorf("%q is not in\n%s", line, config)
		}
	}
	want := spec.Normalize()
	for _, ref := range addedRefs {
		want = want.with(ref)
	}
	sameFiles(t, "at once", diskFiles(t, root), contents(mustPlan(t, src, want)))
}
