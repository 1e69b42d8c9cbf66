package process

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// asDaemon is what the test program does instead of its tests when it is to be a
// process that has started another one.
const asDaemon = "PROCESS_TEST_DAEMON"

func TestMain(m *testing.M) {
	switch os.Getenv(asDaemon) {
	case "":
		os.Exit(m.Run())
	case "foreground":
		endInForeground()
	default:
		runJob()
	}
}

func runJob() {
	if _, err := KillGroupAtDeath(); err != nil {
		fmt.Println(err)
	}
	job := exec.Command("sleep", "60")
	if err := job.Start(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(job.Process.Pid)
	time.Sleep(time.Minute)
}

// Pitfall 35: what a daemon has started is gone with it, also after kill -9.
func TestKillGroupAtDeath(t *testing.T) {
	for range 10 {
		daemon := exec.Command("/proc/self/exe")
		daemon.Env = append(os.Environ(), asDaemon+"=1")
		daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err := daemon.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		job, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("the daemon says %q", line)
		}
		if children := offspring(daemon.Process.Pid, false); len(children) != 1 || children[0] != job {
			t.Errorf("the daemon has the children %v, want %d", children, job)
		}
		if err := daemon.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = daemon.Wait()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if k, err := readKin(job); err != nil || k.ended {
				break
			}
			if time.Now().After(deadline) {
				_ = syscall.Kill(job, syscall.SIGKILL)
				t.Fatal("the job outlives the daemon")
			}
		}
	}
}

// endInForeground does what a service in the foreground does at its end, in the
// group of a session whose leader has gone.
func endInForeground() {
	for {
		if k, err := readKin(sessionOf(os.Getpid())); err != nil || k.ended {
			break
		}
		time.Sleep(time.Millisecond)
	}
	(&Handover{Stage: Foreground}).EndChildren(time.Second)
	fmt.Println("ended")
}

// Pitfall 35, the other way round: a service in the foreground shares its group with
// the rest of a script, which is not its own to end.
func TestForegroundSparesItsGroup(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := exec.Command("sh", "-c", `"$0" & sleep 60 >/dev/null 2>&1 & echo $!`, program)
	script.Env = append(os.Environ(), asDaemon+"=foreground")
	script.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := script.Output() // when the service has ended as well
	if err != nil {
		t.Fatal(err)
	}
	var other int
	var said string
	if _, err := fmt.Sscan(string(out), &other, &said); err != nil || said != "ended" {
		t.Fatalf("%v in %q", err, out)
	}
	if k, err := readKin(other); err != nil || k.ended {
		t.Error("another program in the group of the service was ended with it")
	}
	_ = syscall.Kill(other, syscall.SIGKILL)
}

// Pitfall 37: an orphan is waited for, and a program that was started here is
// left to who has started it, though it ended first.
func TestReap(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	own := exec.Command("sh", "-c", "exit 7")
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	// The orphan ends when the pipe does: after the shell, which else may wait for it.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", "cat <&3 >/dev/null 2>&1 & echo $!")
	shell.ExtraFiles = []*os.File{read}
	out, err := shell.Output()
	if err := errors.Join(err, read.Close(), write.Close()); err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{own.Process.Pid, orphan} {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if k, err := readKin(pid); err == nil && k.ended && k.parent == os.Getpid() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("process %d is no zombie", pid)
			}
		}
	}
	Reap()
	if _, err := readKin(orphan); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the orphan is there: %v", err)
	}
	if err := own.Wait(); own.ProcessState.ExitCode() != 7 {
		t.Errorf("what was started ended with %v, want 7", err)
	}
}
