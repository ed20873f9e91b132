package boot

import (
	"fmt"
	"regexp"
)

// noSecrets matches the program that appends secrets of a system that has none:
// before it does anything it exits. NixOS made it for every system, once.
var noSecrets = regexp.MustCompile(`(?m)^\s*fi\s*\n\s*exit 0\s*\n\s*export PATH=`)

// CheckSecrets refuses a system whose initrd needs secrets of the machine that
// it runs on: they are files outside of the system, and the program that appends
// them would have to run.
func CheckSecrets(files Files, d *Document) error {
	if d.InitrdSecrets == "" {
		return nil
	}
	program, err := files.Read(d.InitrdSecrets)
	if err != nil {
		return fmt.Errorf("boot.initrd.secrets: %w", err)
	}
	if noSecrets.Match(program) {
		return nil
	}
	return fmt.Errorf("boot.initrd.secrets: %q has secrets for its initrd, which are files of the running machine and cannot be put in when an image is built without starting it: "+
		"leave the option empty, or set installBootLoader to false", d.Toplevel)
}
