//go:build unix

package main

// The questions, in a real pseudo-terminal.

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

const (
	up    = "\x1b[A"
	down  = "\x1b[B"
	enter = "\r"
	ctrlC = "\x03"
	ctrlD = "\x04"
)

// A session runs daemongen in a fresh folder, and types.
type session struct {
	t    *testing.T
	dir  string // the working folder
	cmd  *exec.Cmd
	tty  *os.File // where daemongen is
	keys *os.File // where the person is

	mu     sync.Mutex
	screen bytes.Buffer // all that was shown
	seen   int          // up to here it was awaited
	closed chan struct{}
}

// open starts daemongen in a terminal, with additions to the environment.
func open(t *testing.T, env []string, args ...string) *session {
	t.Helper()
	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	p := &session{t: t, dir: t.TempDir(), tty: tty, keys: keys, closed: make(chan struct{})}
	p.cmd = exec.Command("daemongen", args...)
	p.cmd.Dir = p.dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/no-home", "TERM=xterm-256color", "GORACE=" + noSleep}, env...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = tty, tty, tty
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	go p.watch()
	t.Cleanup(func() {
		_ = tty.Close()
		_ = keys.Close()
		<-p.closed
	})
	return p
}

// watch keeps what is shown.
func (p *session) watch() {
	defer close(p.closed)
	buf := make([]byte, 4096)
	for {
		n, err := p.keys.Read(buf)
		p.mu.Lock()
		p.screen.Write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// start starts daemongen.
func (p *session) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = p.cmd.Process.Kill() })
}

// await waits until the text is shown, behind what was awaited before.
func (p *session) await(text string) {
	p.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		p.mu.Lock()
		i := strings.Index(p.screen.String()[p.seen:], text)
		if i >= 0 {
			p.seen += i + len(text)
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.t.Fatalf("%q was not shown; on the screen:\n%q", text, p.end())
}

// press types keys.
func (p *session) press(keys string) {
	p.t.Helper()
	if _, err := io.WriteString(p.keys, keys); err != nil {
		p.t.Fatal(err)
	}
}

// shown is all that was shown.
func (p *session) shown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// end is the end of what was shown, for a message.
func (p *session) end() string {
	all := p.shown()
	return all[max(0, len(all)-600):]
}

// exits waits for the end of daemongen and checks its exit code, and that it
// did not ask the terminal anything.
func (p *session) exits(want int) {
	p.t.Helper()
	kill := time.AfterFunc(10*time.Second, func() { _ = p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	kill.Stop()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Fatalf("exit code %d, want %d; on the screen:\n%q", got, want, p.end())
	}
	for _, query := range []string{"\x1b[6n", "\x1b[5n", "\x1b[c", "\x1b[>", "\x1b]", "\x1bP"} {
		if strings.Contains(p.shown(), query) {
			p.t.Errorf("asked the terminal with %q", query)
		}
	}
}

// run runs a program without a terminal, in the working folder.
func (p *session) run(program string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
}

func TestEnterAlone(t *testing.T) {
	for name, env := range map[string][]string{
		"lists":      nil,
		"no colour":  {"NO_COLOR=1"},
		"accessible": {"ACCESSIBLE=1"},
		"dumb":       {"TERM=dumb"},
		"no TERM":    {"TERM="},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, env, "new", "feed")
			p.start()
			for _, label := range []string{"transports", "database", "user", "group"} {
				p.await(label)
				p.press(enter)
			}
			p.await("the same without a question:")
			p.exits(0)

			p.run("daemongen", "new", "feed", "--yes", "--dir", "other")
			if difference := compare(filepath.Join(p.dir, "feed"), filepath.Join(p.dir, "other")); difference != "" {
				t.Errorf("Enter alone and --yes make different projects: %s", difference)
			}
		})
	}
}

func TestTheSameWithoutAQuestion(t *testing.T) {
	p := open(t, nil, "new", "feed", "--dir", "it's mine", "--set", "worker.count=3")
	p.start()
	p.await("transports")
	p.press(" " + enter)
	p.await("database")
	p.press(down + enter)
	p.await("user")
	p.press("www-data" + enter)
	p.await("group")
	p.press("80" + enter)
	p.await("the same without a question:\r\n  ")
	p.exits(0)

	p.await("\r\n")
	_, line, _ := strings.Cut(p.shown(), "without a question:\r\n  ")
	line, _, _ = strings.Cut(line, "\r\n")
	if err := os.Rename(filepath.Join(p.dir, "it's mine"), filepath.Join(p.dir, "asked")); err != nil {
		t.Fatal(err)
	}
	p.run("sh", "-c", line)
	if difference := compare(filepath.Join(p.dir, "asked"), filepath.Join(p.dir, "it's mine")); difference != "" {
		t.Errorf("%s makes a different project: %s", line, difference)
	}
	for _, word := range []string{"--transport none", "--database none", "--user www-data", "--group 80", "--set worker.count=3"} {
		if !strings.Contains(line, word) {
			t.Errorf("%s has no %s", line, word)
		}
	}
}

func TestOnlyWhatIsNotGiven(t *testing.T) {
	p := open(t, []string{"DAEMONGEN_DATABASE=none"}, "new", "feed", "--transport", "tcp", "--set", "daemon.user=www-data")
	p.start()
	p.await("group")
	p.press(enter)
	p.exits(0)
	for _, label := range []string{"transports", "database", "user,"} {
		if strings.Contains(p.shown(), "? "+label) {
			t.Errorf("asked for %s; on the screen:\n%q", label, p.end())
		}
	}
}

func TestNobodyIsAsked(t *testing.T) {
	for name, test := range map[string]struct {
		env   []string
		args  []string
		apart func(cmd *exec.Cmd) // takes a stream off the terminal
	}{
		"yes":             {args: []string{"--yes"}},
		"no input":        {args: []string{"--no-input"}},
		"variable":        {env: []string{"DAEMONGEN_NO_INPUT=1"}},
		"all given":       {args: []string{"--transport=tcp", "--database=none", "--user=games", "--group="}},
		"no keys":         {apart: func(cmd *exec.Cmd) { cmd.Stdin = nil }},
		"no screen":       {apart: func(cmd *exec.Cmd) { cmd.Stderr = nil }},
		"neither of them": {apart: func(cmd *exec.Cmd) { cmd.Stdin, cmd.Stderr = nil, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t, test.env, append([]string{"new", "feed"}, test.args...)...)
			p.cmd.SysProcAttr.Ctty = 1 // stdout, which stays where it is
			if test.apart != nil {
				test.apart(p.cmd)
			}
			p.start()
			p.await("created feed")
			p.exits(0)
			if shown := p.shown(); strings.Contains(shown, "? for ") || strings.Contains(shown, "without a question") {
				t.Errorf("asked; on the screen:\n%q", p.end())
			}
		})
	}
}

func TestQuestionMark(t *testing.T) {
	for name, env := range map[string][]string{"lists": nil, "accessible": {"ACCESSIBLE=1"}} {
		t.Run(name, func(t *testing.T) {
			p := open(t, env, "new", "feed", "--dry-run")
			p.start()
			for _, help := range []string{"how messages get to the daemon", "where the daemon stores", "name or number of the user", "name or number of the group"} {
				p.await("? for ")
				if env == nil && !strings.Contains(help, "number") {
					p.press("?")
				} else {
					p.press("?" + enter)
				}
				p.await(help)
				p.press(enter)
			}
			p.exits(0)
		})
	}
}

func TestInvalidAnswerIsAskedAgain(t *testing.T) {
	p := open(t, []string{"ACCESSIBLE=1"}, "new", "feed")
	p.start()
	p.await("[tcp]: ")
	p.press("1,pigeon" + enter)
	p.await(`"pigeon" is none of them`)
	p.await("[tcp]: ")
	p.press("0" + enter)
	p.await("[sqlite]: ")
	p.press("4" + enter)
	p.await("[nobody]: ")
	p.press("no body" + enter)
	p.await(`"no body" is neither a name nor a number`)
	p.await("[nobody]: ")
	p.press("daemon" + enter)
	p.await("[the user's own]: ")
	p.press(ctrlD)
	p.await("--transport none --database none --user daemon --no-input")
	p.exits(0)
}

func TestTypedAhead(t *testing.T) {
	p := open(t, nil, "new", "feed", "--dry-run")
	p.press(" " + enter + down + enter + "daemon" + enter + "daemon" + enter)
	p.start()
	p.await("--transport none --database none --user daemon --group daemon")
	p.exits(0)
}

func TestOddKeys(t *testing.T) {
	p := open(t, nil, "new", "feed", "--dry-run")
	p.start()
	p.await("transports")
	p.press("zzz") // a filter that fits nothing hides nothing
	p.await("transports zzz")
	p.press("\x1bx" + "\x1bOP" + "\x1b[1;5C" + "\x1b[3~") // Alt-x, F1, Ctrl-right, Delete
	p.press(up + "\x7f\x7f\x7f" + "  " + enter)
	p.await("database")
	p.press("zzz")
	p.await("database zzz")
	p.press(ctrlD)
	p.await("user")
	p.press(enter)
	p.await("group")
	p.press(enter)
	p.await("--transport tcp --database sqlite")
	p.exits(0)
}

func TestInterruptedQuestion(t *testing.T) {
	ends := map[string]struct {
		act  func(p *session)
		code int
	}{
		"Ctrl-C":  {func(p *session) { p.press(ctrlC) }, 130},
		"SIGINT":  {func(p *session) { _ = p.cmd.Process.Signal(syscall.SIGINT) }, 130},
		"SIGTERM": {func(p *session) { _ = p.cmd.Process.Signal(syscall.SIGTERM) }, 143},
	}
	labels := []string{"transports", "database", "user", "group"}
	for name, end := range ends {
		for mode, env := range map[string][]string{"lists": nil, "accessible": {"ACCESSIBLE=1"}} {
			for answered, label := range labels {
				t.Run(name+"/"+mode+"/"+label, func(t *testing.T) {
					p := open(t, env, "new", "feed")
					before, err := term.GetState(int(p.tty.Fd()))
					if err != nil {
						t.Fatal(err)
					}
					p.start()
					for _, earlier := range labels[:answered] {
						p.await(earlier)
						p.press(enter)
					}
					p.await(label)
					end.act(p)
					p.await("daemongen: interrupted")
					p.exits(end.code)

					after, err := term.GetState(int(p.tty.Fd()))
					if err != nil {
						t.Fatal(err)
					}
					if !reflect.DeepEqual(before, after) {
						t.Error("the terminal is not as it was")
					}
					if hidden, shown := strings.LastIndex(p.shown(), "\x1b[?25l"), strings.LastIndex(p.shown(), "\x1b[?25h"); hidden > shown {
						t.Error("the cursor is still hidden")
					}
					if entries, err := os.ReadDir(p.dir); err != nil || len(entries) > 0 {
						t.Errorf("left behind: %v, %v", entries, err)
					}
				})
			}
		}
	}
}

func TestQuestionsLeaveStdoutAlone(t *testing.T) {
	p := open(t, nil, "new", "feed", "--json")
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	p.cmd.Stdout = out
	p.start()
	for _, label := range []string{"transports", "database", "user", "group"} {
		p.await(label)
		p.press(enter)
	}
	p.exits(0)
	data, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("{\n  \"command\": \"new\"")) {
		t.Errorf("stdout begins with %.80q", data)
	}
}
