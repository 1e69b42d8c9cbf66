package lifecycle

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// foreground is the service in a process of ours.
type foreground struct {
	d      *driver
	cmd    *exec.Cmd
	output bytes.Buffer // its log, to be read when it has ended
	ended  chan struct{}
	err    error // how it ended
}

// foreground starts the service as a supervisor would, who ends it when the
// check is over.
func (d *driver) foreground(env ...string) *foreground {
	f := &foreground{d: d, cmd: exec.Command(d.program, "foreground"), ended: make(chan struct{})}
	f.cmd.Dir, f.cmd.Env = d.dir, append(d.env[:len(d.env):len(d.env)], env...)
	f.cmd.Stdout, f.cmd.Stderr = &f.output, &f.output
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	f.cmd.WaitDelay = outputGrace
	d.must(f.cmd.Start())
	d.pid = f.cmd.Process.Pid
	d.ran(d.line("foreground") + ": pid " + fmt.Sprint(d.pid))
	go func() {
		f.err = f.cmd.Wait()
		close(f.ended)
	}()
	d.atEnd(func() {
		_ = f.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-f.ended:
		case <-time.After(outputGrace):
			_ = f.cmd.Process.Kill()
			<-f.ended
		}
	})
	return f
}

// over tells whether it has ended.
func (f *foreground) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// ready waits until status says so.
func (f *foreground) ready() {
	f.d.eventually("it is ready in the foreground", func() bool {
		if f.over() {
			f.d.failf("%s ended: %v\n%s", f.d.line("foreground"), f.err, f.output.String())
		}
		return f.d.call("status", "--ready").code == 0
	})
	f.d.serves(f.cmd.Process.Pid)
}

// wellOver waits until it has ended, which must be with exit code 0.
func (f *foreground) wellOver() {
	f.d.eventually("it has ended", f.over)
	if f.err != nil {
		f.d.failf("want exit 0; %s: %v\n%s", f.d.line("foreground"), f.err, f.output.String())
	}
}

func (d *driver) checkNotify() {
	place := d.path("notify")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: place, Net: "unixgram"})
	d.must(err)
	defer func() { _ = supervisor.Close(); _ = os.Remove(place) }()
	d.must(os.Chmod(place, 0o666)) // for the user that root's daemon becomes
	f := d.foreground("NOTIFY_SOCKET=" + place)
	d.awaitNotice(f, supervisor, "READY=1")
	d.serves(d.pid)
	d.must(f.cmd.Process.Signal(syscall.SIGTERM))
	d.awaitNotice(f, supervisor, "STOPPING=1")
	f.wellOver()
	d.down()
}

// awaitNotice reads what the service tells its supervisor (sd_notify(3)) until
// it has told this.
func (d *driver) awaitNotice(f *foreground, supervisor *net.UnixConn, want string) {
	told := make([]byte, 4096)
	d.eventually("it has told its supervisor "+want, func() bool {
		d.must(supervisor.SetReadDeadline(time.Now().Add(100 * time.Millisecond)))
		over := f.over() // before looking for what it has told until then
		n, err := supervisor.Read(told)
		if err != nil && over {
			d.failf("it ended without %s: %v\n%s", want, f.err, f.output.String())
		}
		return err == nil && strings.Contains("\n"+string(told[:n])+"\n", "\n"+want+"\n")
	})
}

func (d *driver) checkForegroundKnown() {
	f := d.foreground()
	f.ready()
	d.want(0, fmt.Sprintf(`: already running \(pid %d\)\n$`, d.pid), "start")
	d.want(1, `already running`, "foreground")
	d.want(0, fmt.Sprintf(`: reloaded \(pid %d, `, d.pid), "reload")
	d.want(0, fmt.Sprintf(`: stopped \(pid %d\)\n$`, d.pid), "stop")
	f.wellOver()
	d.down()
}

func (d *driver) checkForegroundInterrupt() {
	f := d.foreground()
	f.ready()
	d.must(f.cmd.Process.Signal(syscall.SIGINT))
	f.wellOver()
	d.down()
}

func (d *driver) checkForegroundEarly() {
	for round := range 4 {
		f := d.foreground()
		time.Sleep(time.Duration(round) * 5 * time.Millisecond) // spread over the start
		_ = f.cmd.Process.Signal(syscall.SIGTERM)
		d.eventually("it has ended", f.over)
		d.down()
	}
}
