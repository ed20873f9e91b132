package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"diskwright/progress"
)

// scriptPatience is how long a script may go on when it was asked to end, and
// what it has started in the background when it has ended.
const scriptPatience = 5 * time.Second

// runPostVM runs the script of the parameter postVM, in a directory that is
// there only for it.
//
// In the reference the script is the end of a derivation's: it has set -e, and
// the variables out, diskImage and, with touchEFIVars, efiVars; that of the ZFS
// builders out, bootDiskImage and rootDiskImage.
func (o *output) runPostVM(ctx context.Context) error {
	o.scripted = true
	b := o.build
	progress.Phase(b.opts.Progress, "running postVM", 0)
	dir, err := os.MkdirTemp("", "diskwright-post-vm-")
	if err != nil {
		return fmt.Errorf("%s: %w", b.spec.Called("postVM"), err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-e", "-c", b.spec.PostVM)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "out="+o.absolute, "efiVars="+o.efiVars)
	for _, d := range b.Report.All() {
		image := filepath.Join(o.absolute, d.File)
		if d.Role != "" {
			cmd.Env = append(cmd.Env, d.Role+"DiskImage="+image)
		}
		if len(b.Report.Disks) == 0 {
			cmd.Env = append(cmd.Env, "diskImage="+image)
		}
	}
	cmd.Stdout, cmd.Stderr = b.opts.ScriptOutput, b.opts.ScriptOutput
	cmd.WaitDelay = scriptPatience
	inGroup(cmd)
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it has succeeded, and left something behind that prints
		return nil
	default:
		return fmt.Errorf("%s: the script has failed: %w", b.spec.Called("postVM"), err)
	}
}
