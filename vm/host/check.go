package host

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"slices"
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

// CheckGuest returns why the program at path cannot be /init of a machine of an
// architecture: it must be this program, for Linux, linked statically.
func CheckGuest(path, arch string) error {
	m := Machine{Arch: arch}
	a, err := m.architecture()
	if err != nil {
		return err
	}
	f, err := elf.Open(path)
	var format *elf.FormatError
	if errors.As(err, &format) {
		return fmt.Errorf("%q is not a program for Linux", path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	switch {
	case f.Machine != a.elf:
		return fmt.Errorf("%q is a program for %v, not for %v", path, f.Machine, a.elf)
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return fmt.Errorf("%q is not a program", path)
	case slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }):
		return fmt.Errorf("%q needs libraries: it must be linked statically (CGO_ENABLED=0)", path)
	}
	return nil
}
