//go:build unix

package builder

import (
	"os/exec"
	"syscall"
)

// inGroup makes cmd, when its context is done, end together with the processes
// that it has started.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
