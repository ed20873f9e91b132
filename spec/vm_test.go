package spec

import (
	"testing"

	"diskwright/partition"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestVirtualMachine(t *testing.T) {
	for _, test := range []struct {
		what   string
		change func(s *Spec)
		want   []string
	}{
		{"a system", func(s *Spec) {}, nil},
		{"everything", func(s *Spec) {
			s.PartitionTableType, s.TouchEFIVars, s.EFIVariables, s.EFIFirmware = partition.Hybrid, true, "/vars", "/code"
			s.KeepDisk, s.VMAccel, s.VMTimeout, s.MemSize, s.VMDevices = true, AccelKVM, 1, 4096, []string{"/dev/disk/by-id/x"}
			s.Contents = []Content{{Source: "/a", Target: "b", User: "alice", Group: "users"}}
		}, nil},
		{"no partition table", func(s *Spec) { s.PartitionTableType, s.FSType = partition.None, "ext2" }, nil},
		{"a store to take along", func(s *Spec) { s.Root = "/root" }, nil},
		{"no system", func(s *Spec) { s.Root, s.System = "/root", "" },
			[]string{`installMethod: "vm" has a NixOS system install its own boot loader; give its toplevel as system`}},
		{"no boot loader", func(s *Spec) { s.InstallBootLoader = new(false) },
			[]string{`installMethod: "vm" has nothing to install: installBootLoader is false`}},
		{"settings", func(s *Spec) { s.BootLoader = withEntries(); s.BootLoader.Entries = nil },
			[]string{`bootLoader: a virtual machine (installMethod) runs the system's own installer, with its own settings; it must be "auto"`}},
		{"no firmware", func(s *Spec) { s.PartitionTableType, s.TouchEFIVars, s.EFIVariables = partition.EFI, true, "/vars" },
			[]string{"efiFirmware: is missing: with touchEFIVars the virtual machine starts by it; give OVMF_CODE.fd or the like"}},
		{"a disk to keep", func(s *Spec) { s.InstallMethod, s.KeepDisk = InstallNative, true },
			[]string{`keepDisk: there is no other disk than the one that is built; it needs installMethod "vm"`}},
		{"method", func(s *Spec) { s.InstallMethod, s.KeepDisk = "qemu", true },
			[]string{`installMethod: "qemu" is unknown; it must be native or vm`}},
		{"accelerator", func(s *Spec) { s.VMAccel = "kmv" },
			[]string{`vmAccel: "kmv" is unknown; it must be auto, kvm or tcg; did you mean "kvm"?`}},
		{"ranges", func(s *Spec) { s.InstallMethod, s.MemSize, s.VMTimeout = InstallNative, 1<<24+1, 0 }, []string{
			`memSize: 16777217 is out of range; it must be from 1 to 16777216 (MiB)`,
			`vmTimeout: 0 is out of range; it must be from 1 to 31536000 (seconds)`}},
		{"devices", func(s *Spec) { s.VMDevices = []string{"sdb", "/dev/../etc/x", "/dev/a\x00"} }, []string{
			`vmDevices[0]: "sdb" is not the name of a device; it must be a plain path below /dev`,
			`vmDevices[1]: "/dev/../etc/x" is not the name of a device; it must be a plain path below /dev`,
			`vmDevices[2]: "/dev/a\x00" has a NUL byte, which no name can have`}},
	} {
		s := New()
		s.System, s.InstallMethod = "/nix/store/x", InstallVM
		test.change(s)
		if diff := cmp.Diff(test.want, problems(s.Validate())); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.what, diff)
		}
	}
}

// Without a virtual machine its parameters are accepted.
func TestVirtualMachineUnused(t *testing.T) {
	s, err := read(t, "a.yaml", "root: r\ninstallMethod: native\nvmAccel: kvm\nvmTimeout: 60\nvmDevices: [/dev/sdb]\nefiSMM: true\nkeepDisk: false\n")
	if err != nil {
		t.Fatal(err)
	}
	want := New()
	want.Root, want.VMAccel, want.VMTimeout, want.VMDevices, want.EFISMM = "/dir/r", AccelKVM, 60, []string{"/dev/sdb"}, true
	if diff := cmp.Diff(want, s, cmpopts.IgnoreUnexported(Spec{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := s.Validate(); err != nil || s.InstallsInVM() {
		t.Errorf("%v; a virtual machine is started: %v", err, s.InstallsInVM())
	}
}
