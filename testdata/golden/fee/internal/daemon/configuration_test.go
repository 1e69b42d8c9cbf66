package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/fee/internal/config"
	"example.com/fee/internal/database"
	"example.com/fee/internal/process"
	"example.com/fee/internal/transport"
	"example.com/fee/internal/worker"
)

// plainConfig is the section of a transport without keys, brokerConfig of one with
// two kinds, whose messages may come again.
type plainConfig struct {
	Port int `toml:"port"`
}

func (*plainConfig) Validate(func(key, reason string))              {}
func (*plainConfig) Listens() []transport.Address                   { return nil }
func (*plainConfig) New(transport.Env) (transport.Transport, error) { return silent{}, nil }

type brokerConfig struct {
	plainConfig
	Acknowledge bool `toml:"acknowledge"`
}

func (*brokerConfig) Keys() []string     { return []string{"device", "customer"} }
func (c *brokerConfig) Redelivers() bool { return c.Acknowledge }

// silent is a transport without peers.
type silent struct{}

func (silent) Serve(ctx context.Context, _ transport.Queue) error    { <-ctx.Done(); return nil }
func (silent) Reload(transport.Config) (c transport.Change, _ error) { return c, nil }
func (silent) Retire()                                               {}
func (silent) Close() error                                          { return nil }
func (silent) Status() string                                        { return "silent" }

func transportParts() Parts {
	return Parts{
		Name: "test",
		Transports: map[string]func() transport.Config{
			"plain":  func() transport.Config { return &plainConfig{} },
			"broker": func() transport.Config { return &brokerConfig{} },
		},
		LookupEnv: func(name string) (string, bool) { return "root", name == "TEST_DAEMON_USER" },
		Handler:   func(*database.DB, config.Section) (worker.Handler, error) { return &handler{}, nil },
	}
}

func TestOrderedBy(t *testing.T) {
	const plain, broker = "[transport.plain]\n", "[transport.broker]\n"
	tests := []struct{ name, transports, by, want string }{
		{"none", plain, "", ""},
		{"first kind", broker, "device", ""},
		{"second kind", plain + broker, "customer", ""},
		{"unknown", plain + broker, "colour",
			`must be "" or "device" (transport.broker) or "customer" (transport.broker), is "colour"`},
		{"of a transport that is not configured", plain, "device", `must be "": no transport has keys, is "device"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := fmt.Sprintf("[worker]\nordered_by = %q\n%s", tt.by, tt.transports)
			c, err := LoadConfiguration(transportParts(), "/test.toml", []byte(text))
			if tt.want != "" {
				if want := "/test.toml:2:1: worker.ordered_by: " + tt.want; err == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
				return
			}
			if err != nil || c.Worker.OrderedBy != tt.by {
				t.Fatalf("%v", err)
			}
			text = strings.Replace(text, "[worker]", "[worker]\ncount = 3", 1)
			text = strings.Replace(text, fmt.Sprintf("%q", tt.by), `""`, 1)
			to, err := LoadConfiguration(transportParts(), "/test.toml", []byte(text))
			if err != nil || to.Worker.Count != 3 || c.Worker.Count != worker.Default().Count {
				t.Fatalf("%v, %+v", err, to)
			}
			err = c.requireReloadable(to, false)
			if (tt.by == "") != (err == nil) || err != nil && err.Error() != "needs a restart: worker.ordered_by" {
				t.Errorf("reload: %v", err)
			}
		})
	}
}

// pitfall 61: there is a journal of attempts if, and only if, what was not settled
// comes again.
func TestJournalOfAttempts(t *testing.T) {
	for text, want := range map[string]bool{
		"[transport.plain]\n":                       false,
		"[transport.broker]\n":                      false,
		"[transport.broker]\nacknowledge = true\n":  true,
		"[transport.broker]\nacknowledge = false\n": false,
	} {
		dir := t.TempDir()
		h := &process.Handover{Stage: process.Foreground, Config: filepath.Join(dir, "test.toml"), Dirs: process.Dirs{Name: "test", State: dir}}
		if err := os.WriteFile(h.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := &service{
			parts: transportParts(), handover: h, sockets: process.NewSockets(h), source: newSource(transportParts(), h), failed: make(chan error, 1),
		}
		err := s.build(t.Context())
		_, statErr := os.Stat(filepath.Join(dir, "attempts"))
		if err != nil || (statErr == nil) != want {
			t.Errorf("%q: %v, %v", text, err, statErr)
		}
		s.end(nil)
	}
}

// What can't be a journal keeps the service from starting.
func TestJournalThatCantBeOpened(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "attempts"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := &service{handover: &process.Handover{Dirs: process.Dirs{State: dir}}}
	c := &Configuration{Transports: map[string]transport.Config{"broker": &brokerConfig{Acknowledge: true}}}
	if _, err := s.openJournal(c); err == nil || !strings.HasPrefix(err.Error(), "journal of attempts: ") {
		t.Error(err)
	}
}
