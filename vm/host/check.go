package host

import (
	"fmt"
	"os"
)

// Check returns why the machine cannot be run, as far as that is known before there
// is a disk. [CheckGuest] checks the guest.
func (m *Machine) Check() error {
	if _, err := m.architecture(); err != nil {
		return err
	}
	if _, err := m.program(); err != nil {
		return err
	}
	if m.Firmware == nil {
		return nil
	}
	for _, name := range []string{m.Firmware.Code, m.Firmware.Variables} {
		if fi, err := os.Stat(name); err != nil {
			return fmt.Errorf("firmware: %w", err)
		} else if !fi.Mode().IsRegular() {
			return fmt.Errorf("firmware: %q is not a file", name)
		}
	}
	return nil
}

// GOARCH returns what Go calls an architecture, or "".
func GOARCH(arch string) string { return architectures[arch].goarch }
