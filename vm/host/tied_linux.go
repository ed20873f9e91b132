package host

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// startTied starts a program that dies with this one, also when this one is killed.
// (With the thread that starts it, to be exact; Go keeps its threads.)
func startTied(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd.Start()
}

// killTied kills a program and what it has started: what is called QEMU may be a
// script around it.
func killTied(cmd *exec.Cmd) error {
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
