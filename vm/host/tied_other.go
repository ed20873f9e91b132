//go:build !linux

package host

import "os/exec"

func startTied(cmd *exec.Cmd) error { return cmd.Start() }

func killTied(cmd *exec.Cmd) error { return cmd.Process.Kill() }
