package generator

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestReadAnswers(t *testing.T) {
	got, err := ReadAnswers([]byte(`{"name": "feed", "transports": ["tcp"], "set": {"log.level": "debug"}, "files": {"x": "y"}, "daemongen": "0.0.1"}`))
	want := Spec{Name: "feed", Transports: []string{"tcp"}, Set: map[string]string{"log.level": "debug"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for text, want := range map[string][]string{
		`{"nam": "x", "color": "red", "user": 5, "transports": "tcp", "set": {"a.b": 1}}`: {
			`from: unknown key "color" (one of components, daemongen, database, deploy, files, group, module, name, preset, set, transports, user)`,
			`from: unknown key "nam" (did you mean "name"?)`,
			`set: the value of "set" must be an object of texts, {"section.key": "value"}, is {"a.b": 1} ()`,
			`transport: the value of "transports" must be a list of texts, ["tcp"], is "tcp" ()`,
			`user: the value of "user" must be a text, is 5 ()`,
		},
		"":                         {`from: 1:1: unexpected end of JSON input (it is one JSON object, such as the .daemongen.json of a project)`},
		"{\n  \"name\": feed\n}":   {`from: 2:12: invalid character 'e' in literal false (expecting 'a') (it is one JSON object, such as the .daemongen.json of a project)`},
		`{"name": "x"} {}`:         {`from: 1:15: invalid character '{' after top-level value (it is one JSON object, such as the .daemongen.json of a project)`},
		`["tcp"]`:                  {`from: not a JSON object (it is one JSON object, such as the .daemongen.json of a project)`},
		"name = feed":              {`from: 1:2: invalid character 'a' in literal null (expecting 'u') (it is one JSON object, such as the .daemongen.json of a project)`},
		`{"name": "x", "Name": 1}`: {`from: unknown key "Name" (did you mean "name"?)`},
	} {
		spec, err := ReadAnswers([]byte(text))
		if got := problemsOf(t, err); !slices.Equal(got, want) {
			t.Errorf("%s: %+v\n%s\nwant\n%s", text, spec, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// A person can read it, and it says nothing of the machine that made it.
func TestManifestForm(t *testing.T) {
	plan := mustPlan(t, readHouse(t, smallHouse(t)), Spec{Name: "feed", Transports: []string{"tcp", "pipe"}, Group: "a&b<c"[:1]})
	text := contents(plan)[ManifestName]
	want := `{
  "name": "feed",
  "module": "example.com/feed",
  "transports": [
    "pipe",
    "tcp"
  ],
  "user": "nobody",
  "group": "a",
  "daemongen": "` + Version + `",
  "files": {
    ".gitignore": "sha256:`
	if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "\"\n  }\n}\n") {
		t.Errorf("got\n%s\nwant it to begin with\n%s", text, want)
	}
	if strings.Contains(text, ManifestName) {
		t.Error("it lists itself")
	}
}
