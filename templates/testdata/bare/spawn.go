package main

import (
	"fmt"
	"os"
	"syscall"
)

// spawn runs this program again as the next of its stages, with the pipe, and
// waits for it if it is to lead a session.
func spawn(next string, pipe *os.File, leader bool) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	process, err := os.StartProcess(program, []string{program, next}, &os.ProcAttr{
		Dir:   "/",
		Env:   os.Environ(),
		Files: []*os.File{null, null, null, pipe},
		Sys:   &syscall.SysProcAttr{Setsid: leader},
	})
	if err != nil || !leader {
		return err
	}
	state, err := process.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("the leader of the session: %s", state)
	}
	return err
}
