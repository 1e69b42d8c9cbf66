package config

import (
	"slices"
	"testing"
)

func TestChanged(t *testing.T) {
	const tcp = "[transport.tcp]\nlisten = \"a\"\n"
	tests := []struct {
		name, from, to string
		all, restart   []string
	}{
		{"nothing", "", "", nil, nil},
		{"only written down", "", "[worker]\ncount = 4\n", nil, nil},
		{"live", "", "[worker]\ncount = 5\n", []string{"worker.count"}, nil},
		{"restart", "", "[worker]\numask = \"0077\"\n", []string{"worker.umask"}, []string{"worker.umask"}},
		{"both", "[worker]\nname = \"x\"\numask = \"0077\"\n", "[worker]\ncount = 5\nname = \"x\"\n",
			[]string{"worker.count", "worker.umask"}, []string{"worker.umask"}},
		{"list", "[worker]\nhosts = [\"a\"]\n", "[worker]\nhosts = [\"b\"]\n", []string{"worker.hosts"}, nil},
		{"same list", "[worker]\nhosts = [\"a\"]\n", "[worker]\nhosts = [ \"a\" ] # the same\n", nil, nil},
		{"secret", "[worker]\npassword = \"a\"\n", "[worker]\npassword = \"b\"\n", []string{"worker.password"}, nil},
		{"below a section that needs a restart", "", "[worker.tls]\ncert = \"/a\"\n", []string{"worker.tls.cert"}, []string{"worker.tls.cert"}},
		{"embedded", "", "[worker]\ninner = \"a\"\n", []string{"worker.inner"}, nil},
		{"key of an optional table", tcp, "[transport.tcp]\nlisten = \"b\"\n", []string{"transport.tcp.listen"}, nil},
		{"table added", "", tcp, []string{"transport.tcp"}, []string{"transport.tcp"}},
		{"table with defaults added", "", "[transport.udp]\n", []string{"transport.udp"}, []string{"transport.udp"}},
		{"table removed, one key changed", tcp, "[worker]\ncount = 5\n", []string{"transport.tcp", "worker.count"}, []string{"transport.tcp"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sets := make([][]*Table, 2)
			for i, text := range []string{test.from, test.to} {
				sets[i], _ = newTables()
				if err := Load(write(t, text), Options{}, sets[i]); err != nil {
					t.Fatal(err)
				}
			}
			all, restart := Changed(sets[0], sets[1])
			if !slices.Equal(all, test.all) || !slices.Equal(restart, test.restart) {
				t.Errorf("changed %v, restart %v; want %v and %v", all, restart, test.all, test.restart)
			}
		})
	}
}

// A table that one set does not even know is one that is not present there.
func TestChangedTables(t *testing.T) {
	tables, _ := newTables()
	if err := Load(write(t, "[transport.udp]\n"), Options{}, tables); err != nil {
		t.Fatal(err)
	}
	all, restart := Changed(tables[:1], tables)
	if want := []string{"transport.udp"}; !slices.Equal(all, want) || !slices.Equal(restart, want) {
		t.Errorf("changed %v, restart %v; want %v", all, restart, want)
	}
}
