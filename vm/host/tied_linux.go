package host

import (
	"os/exec"
	"syscall"
)

// startTied starts a program that dies with this one, also when this one is killed.
// (With the thread that starts it, to be exact; Go keeps its threads.)
func startTied(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd.Start()
}
