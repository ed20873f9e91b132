//go:build !linux

package host

import "os/exec"

// startTied starts a program. Nothing here ties it to the life of this one.
func startTied(cmd *exec.Cmd) error { return cmd.Start() }
