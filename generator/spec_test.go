package generator

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/daemongen/daemongen/templates"
)

func TestNormalize(t *testing.T) {
	given := Spec{Name: "feed", Transports: []string{"tcp", "pipe", "tcp"}, Database: "none",
		Set: map[string]string{"daemon.user": "me", "daemon.group": "us", "worker.count": "1"}}
	want := Spec{Name: "feed", Module: "example.com/feed", Transports: []string{"pipe", "tcp"},
		Components: []string{}, Deploy: []string{}, User: "me", Group: "us", Set: map[string]string{"worker.count": "1"}}
	got := given.Normalize()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(given.Set) != 3 || given.Transports[0] != "tcp" {
		t.Errorf("what was given changed: %+v", given)
	}
	if again := got.Normalize(); !reflect.DeepEqual(again, got) {
		t.Errorf("a second time %+v", again)
	}
	if none := (Spec{}).Normalize(); none.Module != "" || none.User != "nobody" {
		t.Errorf("of nothing %+v", none)
	}
}

// problemsOf returns what an error says is wrong, a line each.
func problemsOf(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("%T: %v", err, err)
	}
	var lines []string
	for _, p := range invalid.Problems {
		lines = append(lines, p.Field+": "+p.Reason+" ("+p.Hint+")")
	}
	return lines
}

func TestValidate(t *testing.T) {
	house := smallHouse(t)
	house.Features = slices.Clone(house.Features)
	house.Features[0].Needs = []Ref{{Kind: templates.Component, Name: "metrics"}}
	house.Features[1].Excludes = []Ref{{Kind: templates.Transport, Name: "pipe"}}
	src := readHouse(t, house)
	for _, test := range []struct {
		spec Spec
		want []string
	}{
		{Spec{Name: "feed"}, nil},
		{Spec{}, []string{`name: is missing (take for instance "feed")`}},
		{Spec{Name: "Feed"}, []string{`name: "Feed" is not a name: it takes small letters, digits and hyphens, begins with a letter and does not end with a hyphen (take for instance "feed")`}},
		{Spec{Name: "feed", Module: "a b", User: "x y", Group: "?", Transports: []string{"tpc", "x"}, Database: "zzzzzz", Deploy: []string{"crat"}}, []string{
			`module: "a b" is not a module path: invalid char ' ' (take for instance "github.com/you/feed")`,
			`user: "x y" is neither a name nor a number (take for instance "nobody", or leave it out)`,
			`group: "?" is neither a name nor a number (take for instance "nobody", or leave it out)`,
			`transport: there is no transport "tpc" (did you mean "tcp"?)`,
			`transport: there is no transport "x" (one of tcp, carrier, pipe)`,
			`database: there is no database "zzzzzz" (one of shelf, lake)`,
			`deploy: there is no deploy "crat" (did you mean "crate"?)`,
		}},
		{Spec{Name: "feed", Transports: []string{"tcp"}}, []string{
			`transport: "tcp" needs the component metrics (ask for the component metrics as well)`}},
		{Spec{Name: "feed", Transports: []string{"carrier", "pipe"}}, []string{
			`transport: "carrier" can't be with the transport pipe (choose one of them)`}},
		{Spec{Name: "feed", Transports: []string{"tcp"}, Components: []string{"metrics"}}, nil},
		{Spec{Name: "feed", User: "me", Set: map[string]string{"daemon.user": "you", "worker.cuont": "1", "transport.tcp.listen": ""}}, []string{
			`set: "transport.tcp.listen": there is no section [transport.tcp] (one of daemon, log, worker)`,
			`set: "worker.cuont": section [worker] has no key "cuont" (did you mean "count"?)`,
			`user: "daemon.user" is said twice, as "me" and as "you" (say it once)`,
		}},
	} {
		got := problemsOf(t, src.validate(test.spec.Normalize()))
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v:\n%s\nwant\n%s", test.spec, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

// What the built-in house says of a spec is what New says.
func TestValidateBuiltIn(t *testing.T) {
	for _, spec := range []Spec{{}, {Name: "func"}, {Name: "feed", Transports: []string{"tpc"}}} {
		_, err := New(spec)
		if got, want := problemsOf(t, spec.Validate()), problemsOf(t, err); !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%+v: %v, want %v", spec, got, want)
		}
	}
	if err := (Spec{Name: "feed", Transports: []string{"tcp"}, Database: "sqlite"}).Validate(); err != nil {
		t.Error(err)
	}
}
