package spec

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Values of [Spec.InstallMethod].
const (
	InstallNative = "native" // Diskwright installs the boot loader
	InstallVM     = "vm"     // the system does, in a virtual machine
)

// Values of [Spec.VMAccel].
const (
	AccelAuto = "auto" // KVM where it works
	AccelKVM  = "kvm"
	AccelTCG  = "tcg"
)

// Limits of the virtual machine's parameters: what a 64-bit machine can address,
// and more time than anybody has.
const (
	memSizeMax   = 1 << 24                                   // MiB
	vmTimeoutMax = int64(365 * 24 * time.Hour / time.Second) // seconds
)

// InstallsInVM reports whether a virtual machine is to install the boot loader.
func (s *Spec) InstallsInVM() bool { return s.InstallMethod == InstallVM && s.InstallsBootLoader() }

// virtualMachine checks what a virtual machine needs that installs a boot loader,
// and what is only of use with one.
func (v *validator) virtualMachine() {
	s := v.spec
	v.vmRanges()
	if !v.choice("installMethod", s.InstallMethod) || !v.readable("installMethod") {
		return
	}
	if s.InstallMethod != InstallVM {
		if s.KeepDisk {
			v.fail("keepDisk", "there is no other disk than the one that is built; it needs installMethod %q", InstallVM)
		}
		return
	}
	switch {
	case s.System == "" && v.readable("system"):
		v.fail("installMethod", "%q has a NixOS system install its own boot loader; give its toplevel as system", InstallVM)
	case !s.InstallsBootLoader() && v.readable("installBootLoader"):
		v.fail("installMethod", "%q has nothing to install: installBootLoader is false", InstallVM)
	}
	if s.BootLoader != nil {
		v.fail("bootLoader", "a virtual machine (installMethod) runs the system's own installer, with its own settings; it must be %q", AutoBootLoader)
	}
	if s.TouchEFIVars && s.EFIFirmware == "" && v.readable("efiFirmware") {
		v.fail("efiFirmware", "is missing: with touchEFIVars the virtual machine starts by it; give OVMF_CODE.fd or the like")
	}
}

// vmRanges checks the virtual machine's parameters on their own.
func (v *validator) vmRanges() {
	s := v.spec
	v.choice("vmAccel", s.VMAccel)
	if s.MemSize < 1 || s.MemSize > memSizeMax {
		v.fail("memSize", "%d is out of range; it must be from 1 to %d (MiB)", s.MemSize, memSizeMax)
	}
	if s.VMTimeout < 1 || s.VMTimeout > vmTimeoutMax {
		v.fail("vmTimeout", "%d is out of range; it must be from 1 to %d (seconds)", s.VMTimeout, vmTimeoutMax)
	}
	for i, name := range s.VMDevices {
		parameter := fmt.Sprintf("vmDevices[%d]", i)
		if !strings.HasPrefix(name, "/dev/") || path.Clean(name) != name {
			v.fail(parameter, "%q is not the name of a device; it must be a plain path below /dev", name)
		}
		v.noNUL(parameter, name)
	}
}
