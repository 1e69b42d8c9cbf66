package unix

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/daemongen/daemongen/templates/exampled/internal/config"
	"github.com/daemongen/daemongen/templates/exampled/internal/leftout"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/stream"
	"github.com/daemongen/daemongen/templates/exampled/internal/transport/transporttest"
)

func TestMain(m *testing.M) { os.Exit(leftout.Main(m)) }

func TestConformance(t *testing.T) {
	dir := folder(t)
	var configs atomic.Int64
	transporttest.Run(t, transporttest.Harness{
		Config:  func() transport.Config { return testConfig(filepath.Join(dir, strconv.FormatInt(configs.Add(1), 10))) },
		Address: func(tr transport.Transport) string { return tr.(*stream.Transport).Addr().String() },
		Dial: func(address string) (transporttest.Peer, error) {
			nc, err := net.DialTimeout("unix", address, transporttest.Patience)
			if err != nil {
				return nil, err
			}
			return transporttest.Lines(nc), nil
		},
		Replies:   true,
		Ordered:   true,
		Ends:      true,
		Listens:   true,
		Impatient: true,
		Limit:     int(testConfig("").MaxMessage),
	})
}

// folder is a place for sockets, with a path that is short enough on every system.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "unix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testConfig(path string) *Config {
	c := Default().(*Config)
	c.Path = config.Path(path)
	c.MaxMessage = 16 << 10
	c.ReadTimeout = config.Duration(3 * time.Second)
	c.WriteTimeout = config.Duration(3 * time.Second)
	return c
}

// serve starts a transport that answers by itself, until the test ends.
func serve(t *testing.T, c *Config) *stream.Transport {
	t.Helper()
	tr, err := c.New(transport.Env{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Listen: net.Listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transporttest.Serve(t, tr, new(transporttest.Echo)).Stop)
	return tr.(*stream.Transport)
}

// echo returns what a new peer gets in reply to a line, or the error of that.
func echo(t *testing.T, path string) (string, error) {
	t.Helper()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if err := nc.SetDeadline(time.Now().Add(transporttest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "in\n"); err != nil {
		return "", err
	}
	got := make([]byte, 3)
	n, err := io.ReadFull(nc, got)
	return string(got[:n]), err
}

func TestAllowLists(t *testing.T) {
	me, mine := strconv.Itoa(os.Geteuid()), strconv.Itoa(os.Getegid())
	other, theirs := strconv.Itoa(os.Geteuid()+1), "123456789" // a group that nobody is in
	c := testConfig(filepath.Join(folder(t), "s"))
	tr := serve(t, c)
	refused := 0
	for _, test := range []struct {
		users, groups []string
		served        bool
	}{
		{nil, nil, true},
		{[]string{other, me}, nil, true},
		{nil, []string{theirs, mine}, true},
		{[]string{other}, []string{mine}, true},
		{[]string{other}, nil, false},
		{nil, []string{theirs}, false},
		{[]string{other}, []string{theirs}, false},
	} {
		next := *c
		next.AllowUsers, next.AllowGroups = test.users, test.groups
		change, err := tr.Reload(&next)
		if err != nil {
			t.Fatal(err)
		}
		change.Commit()
		reply, err := echo(t, string(c.Path))
		if served := reply == "in\n" && err == nil; served != test.served {
			t.Errorf("users %q, groups %q: reply %q, %v", test.users, test.groups, reply, err)
		}
		if !test.served {
			refused++
			if want := fmt.Sprintf("%d not allowed", refused); !strings.Contains(tr.Status(), want) {
				t.Errorf("status %q, want %q in it", tr.Status(), want)
			}
		}
	}
}

// The kernel says who a peer is, whoever that claims to be.
func TestPeerOfAnotherUser(t *testing.T) {
	leftout.Root(t)
	const uid, gid, besides = 4711, 4712, 4800
	dir := folder(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := testConfig(filepath.Join(dir, "s"))
	c.Mode, c.AllowUsers, c.AllowGroups = 0o666, []string{strconv.Itoa(uid)}, []string{strconv.Itoa(besides)}
	serve(t, c)
	if reply, err := echo(t, string(c.Path)); err == nil {
		t.Errorf("root, who is not in the list, has the reply %q", reply)
	}
	// The program of this test is in a folder that nobody else may enter.
	program := filepath.Join(dir, "peer")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	var many []uint32 // more than are asked for at first
	for id := range uint32(50) {
		many = append(many, besides-49+id)
	}
	for _, test := range []struct {
		uid    uint32
		groups []uint32
		served bool
	}{
		{uid, nil, true},
		{uid + 1, nil, false},
		{uid + 1, []uint32{besides - 1, besides}, true},
		{uid + 1, many, true},
		{uid + 1, many[:49], false},
	} {
		peer := exec.Command(program, "-test.run", "^TestPeer$")
		peer.Env = append(os.Environ(), "TEST_PEER_OF="+string(c.Path))
		peer.Dir = "/"
		peer.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: test.uid, Gid: gid, Groups: test.groups}}
		out, err := peer.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if served := err == nil; served != test.served {
			t.Errorf("uid %d, groups %v: %v\n%s", test.uid, test.groups, err, out)
		}
	}
}

// TestPeer is the peer in TestPeerOfAnotherUser, and no test.
func TestPeer(t *testing.T) {
	path := os.Getenv("TEST_PEER_OF")
	if path == "" {
		t.Skip("is run by TestPeerOfAnotherUser")
	}
	if reply, err := echo(t, path); err != nil || reply != "in\n" {
		t.Errorf("reply %q, %v", reply, err)
	}
}

func TestOwn(t *testing.T) {
	dir := folder(t)
	c := testConfig(filepath.Join(dir, "s"))
	c.Mode = 0o606
	serve(t, c)
	info, err := os.Stat(string(c.Path))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o606 {
		t.Errorf("the mode is %v", info.Mode())
	}
	if os.Geteuid() != 0 {
		c := testConfig(filepath.Join(dir, "t"))
		c.Owner = "0"
		if _, err := c.New(transport.Env{Log: slog.New(slog.DiscardHandler), Listen: net.Listen}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("the owner was to be root: %v", err)
		}
		return
	}
	c = testConfig(filepath.Join(dir, "t"))
	c.Owner, c.Group = "4711", "4712"
	serve(t, c)
	if info, err = os.Stat(string(c.Path)); err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != 4711 || stat.Gid != 4712 {
		t.Errorf("the owner is %d, the group %d", stat.Uid, stat.Gid)
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		want   []string // "key reason"
	}{
		{"defaults", func(*Config) {}, nil},
		{"names and numbers", func(c *Config) {
			c.Owner, c.Group, c.AllowUsers, c.AllowGroups = "root", "0", []string{"root", "4711"}, []string{"4712"}
		}, nil},
		{"all wrong", func(c *Config) {
			c.Path, c.Mode = config.Path("/"+strings.Repeat("x", 100)), 0o1777
			c.Owner, c.Group = "no such", "-1"
			c.AllowUsers, c.AllowGroups = []string{"root", "nor such"}, []string{"9999999999"}
			c.Pipeline = 0
		}, []string{
			"path must have at most 100 bytes, has 101: no more fit into the address of a socket",
			"mode must be permissions, at most 0777, is 1777",
			`owner must have names or numbers that this machine knows, has "no such": there is no such user`,
			`group must have names or numbers that this machine knows, has "-1": there is no such group`,
			`allow_users must have names or numbers that this machine knows, has "nor such": there is no such user`,
			`allow_groups must have names or numbers that this machine knows, has "9999999999": there is no such group`,
			"pipeline must be from 1 to 65536, is 0",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default().(*Config)
			test.change(c)
			var got []string
			c.Validate(func(key, reason string) { got = append(got, key+" "+reason) })
			if !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestListens(t *testing.T) {
	c := Default().(*Config)
	want := []transport.Address{{Network: "unix", Address: inRunDirectory}}
	if got := c.Listens(); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
	c.Path = "/run/x.sock"
	want[0].Address = "/run/x.sock"
	if got := c.Listens(); !slices.Equal(got, want) {
		t.Errorf("listens on %v, want %v", got, want)
	}
}
