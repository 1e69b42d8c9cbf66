package templates_test

// Features beside each other: what one does to another shows in a project that has
// both, and not a third, or has one and not the other.

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates"
)

// chosen are the features of a project, as daemongen new is asked for them.
type chosen struct {
	transports []string
	database   string // "": none
}

// with returns the choice with another feature; ok is false if it can't have it.
func (c chosen) with(f templates.Feature) (more chosen, ok bool) {
	switch {
	case f.Kind == templates.Transport:
		return chosen{append(slices.Clone(c.transports), f.Name), c.database}, true
	case f.Kind == templates.Database && c.database == "":
		return chosen{c.transports, f.Name}, true
	}
	return c, false
}

func (c chosen) has(name string) bool {
	return name == c.database || slices.Contains(c.transports, name)
}

func (c chosen) String() string {
	return strings.Join(slices.Concat([]string{"bare"}, c.transports, []string{c.database}), ",")
}

// choices returns every choice of features.
func choices(features []templates.Feature) []chosen {
	all := []chosen{{}}
	for _, f := range features {
		for _, c := range all {
			if more, ok := c.with(f); ok {
				all = append(all, more)
			}
		}
	}
	return all
}

// A pair is two features, each there or not.
type pair struct {
	one, other         string
	hasOne, hasAnother bool
}

func (c chosen) pairs(features []templates.Feature) map[pair]bool {
	pairs := make(map[pair]bool)
	for i, f := range features {
		for _, g := range features[:i] {
			pairs[pair{f.Name, g.Name, c.has(f.Name), c.has(g.Name)}] = true
		}
	}
	return pairs
}

// pairwise returns a few of the choices that have all pairs which any of them has.
func pairwise(all []chosen, features []templates.Feature) (few []chosen) {
	missing := make(map[pair]bool)
	for _, c := range all {
		maps.Copy(missing, c.pairs(features))
	}
	for len(missing) > 0 {
		var best chosen
		most := 0
		for _, c := range all {
			n := 0
			for p := range c.pairs(features) {
				if missing[p] {
					n++
				}
			}
			if n > most {
				best, most = c, n
			}
		}
		for p := range best.pairs(features) {
			delete(missing, p)
		}
		few = append(few, best)
	}
	return few
}

// Each pair of features: the project is tidy, vetted, and compiled, with the module
// cache alone; its daemon runs, takes a message by each of its transports, and
// stores it. One that has neither tcp nor what the other golden projects have passes its
// own tests of its life, too.
func TestPairs(t *testing.T) {
	features := templates.Features()
	few := pairwise(choices(features), features)
	withoutTCP := []string{"fifo", "unix"}
	if !slices.ContainsFunc(few, func(c chosen) bool { return slices.Equal(c.transports, withoutTCP) }) {
		t.Errorf("no project has the transports %q: choose another one without tcp from %v", withoutTCP, few)
	}
	for _, c := range few {
		t.Run(c.String(), func(t *testing.T) {
			f := newFeedWith(t, c)
			project := f.path("project")
			f.do(project, "go", "mod", "tidy", "-diff") // a new machine may have to fetch what it needs
			alone := []string{"GOPROXY=off", "GOFLAGS=-mod=readonly -trimpath"}
			f.env = append(f.env, alone...)
			f.do(project, "go", "mod", "tidy", "-diff")
			f.do(project, "go", "vet", "./...")
			f.takesAll(c)
			if slices.Equal(c.transports, withoutTCP) {
				f.env = append(os.Environ(), alone...) // not what is set for this service
				f.do(project, "go", "test", "./cmd/feed")
			}
		})
	}
}

// All features, in one daemon.
func TestAllTransports(t *testing.T) {
	var c chosen
	for _, f := range templates.Features() {
		if f.Kind == templates.Transport {
			c.transports = append(c.transports, f.Name)
		}
	}
	c.database = "mysql"
	newFeedWith(t, c).takesAll(c)
}

// newFeedWith returns a project with these features.
func newFeedWith(t *testing.T, c chosen) *feed {
	t.Helper()
	f := newFolder(t, c.database)
	f.do("", "go", "run", "../cmd/daemongen", "new", "feed", "--dir", f.path("project"), "--yes",
		"--transport", cmp.Or(strings.Join(c.transports, ","), "none"), "--database", cmp.Or(c.database, "none"))
	f.use(os.Getenv(servers[c.database].variable))
	return f
}

// takesAll builds and starts the daemon, sends it a message by each transport, and
// stops it. The messages are in the database then.
func (f *feed) takesAll(c chosen) {
	f.t.Helper()
	for _, name := range c.transports {
		waysIn[name].prepare(f)
	}
	f.build()
	f.start()
	for _, name := range c.transports {
		waysIn[name].send(f, "by "+name)
	}
	if f.database != "" {
		f.stores(c.transports)
	}
	f.command("stop")
}

// stores waits until the messages by these transports are in the database.
func (f *feed) stores(transports []string) {
	f.t.Helper()
	for end := time.Now().Add(requestLimit); ; time.Sleep(10 * time.Millisecond) {
		stored := f.stored()
		missing := slices.DeleteFunc(slices.Clone(transports), func(name string) bool { return stored["by "+name] > 0 })
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("not stored are the messages by %q\n%s", missing, f.logTail())
		}
	}
}
