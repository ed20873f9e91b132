//go:build linux

package nix

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/test/fixture"
	"diskwright/test/oracle"

	"github.com/google/go-cmp/cmp"
)

// What an image whose boot loader is installed by the system itself asks for: of the
// program, and of the machine that builds.
func TestVMDerivation(t *testing.T) {
	type asked struct {
		Features, Inputs, Command, Specification string

		spec struct {
			InstallMethod, VMAccel, EFIFirmware, EFIVariables string
			VMDevices                                         []string
			MemSize                                           int
			EFISMM, KeepDisk                                  bool
			BootLoader                                        any
		}
	}
	firmware := func(name string) string { return `(pkgs.writeText "` + name + `" "")` }
	ovmf := `OVMF = { firmware = ` + firmware("code.fd") + `; variables = ` + firmware("vars.fd") + `; systemManagementModeRequired = true; };`
	for _, test := range []struct {
		args  string
		check func(*asked) bool
	}{
		{`installMethod = "vm";`, func(a *asked) bool {
			return a.Features == "" && strings.Contains(a.Inputs, "qemu-kvm") && a.spec.VMAccel == "auto" && a.spec.MemSize == 1024
		}},
		{`installMethod = "vm"; vmAccel = "kvm";`, func(a *asked) bool { return a.Features == "kvm" }},
		{`installMethod = "vm"; vmAccel = "tcg"; memSize = 2048; keepDisk = true;`, func(a *asked) bool {
			return a.Features == "" && a.spec.MemSize == 2048 && a.spec.KeepDisk
		}},
		{`parameters = { installMethod = "vm"; vmAccel = "kvm"; };`, func(a *asked) bool { return a.Features == "kvm" && a.spec.InstallMethod == "vm" }},
		{`installBootLoader = false; vmAccel = "kvm";`, func(a *asked) bool {
			return a.Features == "" && !strings.Contains(a.Inputs, "qemu") && a.spec.InstallMethod == ""
		}},
		{`installMethod = "vm"; partitionTableType = "efi"; touchEFIVars = true; ` + ovmf, func(a *asked) bool {
			return strings.HasSuffix(a.spec.EFIFirmware, "-code.fd") && strings.HasSuffix(a.spec.EFIVariables, "-vars.fd") && a.spec.EFISMM
		}},
		{`installMethod = "vm"; partitionTableType = "efi"; ` + ovmf, func(a *asked) bool { return a.spec.EFIFirmware == "" && !a.spec.EFISMM }},
	} {
		var got asked
		shared(t).value(t, standinWith(`grub = { enable = true; devices = [ "/dev/vda" "nodev" "/dev/vdb" ]; };`)+`
			let drv = make ({ installBootLoader = true; } // { `+test.args+` }); in {
				features = toString (drv.requiredSystemFeatures or [ ]);
				inputs = toString drv.nativeBuildInputs;
				command = drv.buildCommand;
				specification = drv.specification;
			}`, &got)
		if err := json.Unmarshal([]byte(got.Specification), &got.spec); err != nil {
			t.Fatal(err)
		}
		// Its own settings are what the system in the machine goes by.
		if !test.check(&got) || got.spec.BootLoader != nil || strings.Contains(got.Command, "--guest-binary") {
			t.Errorf("{ %s }: %+v", test.args, got)
		}
		if want := []string{"/dev/vdb"}; got.spec.InstallMethod == "vm" && !cmp.Equal(got.spec.VMDevices, want) {
			t.Errorf("{ %s }: devices %q, want %q", test.args, got.spec.VMDevices, want)
		}
	}
}

// For another architecture there are QEMU of that and, for the guest, the program of
// that.
func TestVMOfOtherArchitecture(t *testing.T) {
	var got struct{ Inputs, Command string }
	shared(t).value(t, `let
		pkgs = import `+tree+`/nix/tests/standin { hostSystem = "other-linux"; overlays = [ (import `+tree+`/nix/overlay.nix) ]; };
		config = import `+tree+`/nix/tests/standin/system.nix { inherit pkgs; };
		drv = pkgs.diskwrightImage { inherit config; installMethod = "vm"; };
	in {
		inputs = toString drv.nativeBuildInputs;
		command = drv.buildCommand;
	}`, &got)
	if !strings.HasSuffix(got.Inputs, "-qemu") || !strings.Contains(got.Command, " --guest-binary /nix/store/") {
		t.Errorf("inputs %q, command\n%s", got.Inputs, got.Command)
	}
}

// A system installs its boot loader in a virtual machine, in a build of Nix: in the
// sandbox, as an ordinary user, with what there is of KVM. It does so with the same
// result a second time.
func TestVMBuild(t *testing.T) {
	oracle.Need(t, "qemu-system-x86_64")
	system := fixture.Build(t, "grub-installs")
	s := newStore(t)
	s.must(t, "nix", "copy", "--from", system.Root, "--no-check-sigs", system.Toplevel)
	expression := standin() + `make {
		config = config // { system = config.system // { build.toplevel = builtins.storePath "` + system.Toplevel + `"; }; };
		installBootLoader = true;
		installMethod = "vm";
		copyChannel = false;
		partitionTableType = "legacy";
		diskSize = "min";
		additionalSpace = "64M";
		memSize = 512;
		parameters.vmDevices = [ "/dev/disk/by-id/virtio-fixture" ];
		postVM = "test -s $diskImage; test $(id -u) != 0";
	}`
	out := s.build(t, expression)
	checkOutput(t, s, out, "raw", "nixos.img")
	image := s.host(filepath.Join(out, "nixos.img"))
	if got := oracle.Run(t, program, "ls", image, "/boot/grub/i386-pc/core.img"); !strings.Contains(got, "core.img") {
		t.Errorf("the installer has left no core.img: %s", got)
	}
	if os.Getenv("DISKWRIGHT_LONG") != "" {
		s.build(t, expression, "--check")
	}
}
