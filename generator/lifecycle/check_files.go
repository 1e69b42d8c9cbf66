package lifecycle

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// withUmask has a call made under the umask, which it must not hand on.
func withUmask(umask string) func(*exec.Cmd) {
	return underShell(`umask ` + umask + ` && exec "$@"`)
}

// underShell has a call made by a shell, after what the script does.
func underShell(script string) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
}

func (d *driver) checkPidfile() {
	d.must(os.RemoveAll(d.path("run")))
	d.pid = d.pidIn(d.expect(d.calling(withUmask("077"), "start"), 0, d.started()))
	info, err := os.Lstat(d.runFile("pid"))
	d.must(err)
	if info.Mode() != 0o644 {
		d.failf("its mode is %s, want %s, whatever the umask of the starter", info.Mode(), fs.FileMode(0o644))
	}
	if text := readText(d.runFile("pid")); text != fmt.Sprintf("%d\n", d.pid) {
		d.failf("it is %q, want the pid %d", text, d.pid)
	}
}

func (d *driver) checkPidfileStays() {
	before, err := os.Lstat(d.runFile("pid"))
	d.must(err)
	d.want(0, "", "stop")
	if text := readText(d.runFile("pid")); text != "" {
		d.failf("after stop it is %q, want it empty", text)
	}
	d.start()
	after, err := os.Lstat(d.runFile("pid"))
	d.must(err)
	if !os.SameFile(before, after) {
		d.failf("after stop and start it is another file")
	}
}

func (d *driver) checkPidfileRemoved() {
	d.dirty = true
	d.must(os.Remove(d.runFile("pid")))
	d.want(0, fmt.Sprintf(`: already running \(pid %d\)\n$`, d.pid), "start")
}

func (d *driver) checkPidfileNonsense() {
	stranger := exec.Command("sleep", "600")
	d.must(stranger.Start())
	d.atEnd(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	d.start()
	d.want(0, "", "stop")
	// No number that would reach more than one process, should it be believed.
	for _, text := range []string{fmt.Sprintf("%d\n", stranger.Process.Pid), "abc\n", strings.Repeat("9", 20), strings.Repeat("\x00", 1<<16)} {
		d.must(os.WriteFile(d.runFile("pid"), []byte(text), 0o644))
		d.want(0, `: not running\n$`, "stop")
		d.want(7, "", "reload")
		if !alive(stranger.Process.Pid) {
			d.failf("stop has ended a stranger whose pid was in the pidfile")
		}
		d.start()
		d.serves(d.pid)
		d.want(0, fmt.Sprintf(`: stopped \(pid %d\)\n$`, d.pid), "stop")
	}
}

func (d *driver) checkPidfileLink() {
	d.dirty = true
	d.must(os.RemoveAll(d.path("run")))
	d.must(makeDir(d.path("run"), 0o755))
	victim := d.path("victim")
	d.must(os.WriteFile(victim, []byte("precious"), 0o600))
	d.must(os.Symlink(victim, d.runFile("pid")))
	d.want(4, "", "start")
	if text := readText(victim); text != "precious" {
		d.failf("start has written %q to where the link leads", text)
	}
	d.nothingRuns()
}

func (d *driver) checkRunDirectory() {
	for _, mode := range []fs.FileMode{0o775, 0o757} {
		d.dirty = true
		d.must(os.RemoveAll(d.path("run")))
		d.must(makeDir(d.path("run"), mode))
		d.want(4, "", "start")
		d.nothingRuns()
	}
}

func (d *driver) checkSocket() {
	info, err := os.Lstat(d.runFile("sock"))
	d.must(err)
	if want := fs.ModeSocket | 0o600; info.Mode() != want {
		d.failf("its mode is %s, want %s", info.Mode(), want)
	}
}

func (d *driver) checkDownMark() {
	if _, err := os.Lstat(d.runFile("down")); err == nil {
		d.failf("the mark is there while it runs")
	}
	d.want(0, "", "stop")
	if _, err := os.Lstat(d.runFile("down")); err != nil {
		d.failf("after stop: %v", err)
	}
	d.start()
	if _, err := os.Lstat(d.runFile("down")); err == nil {
		d.failf("the mark is there after start")
	}
}
