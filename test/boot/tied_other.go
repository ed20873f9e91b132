//go:build !linux

package boot

import "os/exec"

// startTied starts a program. Only Linux can have it die with this one.
func startTied(cmd *exec.Cmd) error { return cmd.Start() }
