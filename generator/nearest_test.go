package generator

import "testing"

func TestNearest(t *testing.T) {
	commands := []string{"add", "completion", "help", "list", "new", "version"}
	features := []string{"tcp", "udp", "unix", "zeromq", "amqp"}
	for _, c := range []struct {
		known []string
		want  map[string]string // by what was typed
	}{
		{commands, map[string]string{
			"nwe": "new", "nw": "new", "New": "new", "lsit": "list", "lists": "list", "comp": "completion",
			"versions": "version", "vresion": "version", "": "", "x": "", "frobnicate": "",
		}},
		{features, map[string]string{
			"tpc": "tcp", "zeromqq": "zeromq", "zero-mq": "zeromq", "amq": "amqp", "unixx": "unix", "x": "", "": "", "kafka": "",
		}},
	} {
		for typed, want := range c.want {
			if got := Nearest(typed, c.known); got != want {
				t.Errorf("nearest to %q is %q, want %q", typed, got, want)
			}
		}
	}
}
