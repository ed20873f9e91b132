//go:build linux

package nix

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"diskwright/test/fixture"
	"diskwright/test/oracle"
)

// The settings that evaluation passes make the image that the program makes of
// those that it finds in the system itself (bootLoader: auto), from systems that
// start: see test/fixture and the boot tests.
func TestSettingsAreThoseOfTheSystem(t *testing.T) {
	needLoaders(t)
	s := storeOf(t, fixture.Build(t, "none")) // it has all variants
	long := os.Getenv("DISKWRIGHT_LONG") != ""
	for _, test := range []struct {
		variant, loader, args string
		long                  bool
	}{
		{"systemd-boot", `systemd-boot = { enable = true; bootCounting = { enable = false; tries = 3; }; installDeviceTree = false; };`,
			`partitionTableType = "efi"; bootSize = "96M";`, false},
		{"systemd-boot-2505", `systemd-boot = { enable = true; installDeviceTree = false; };`,
			`partitionTableType = "efi"; bootSize = "96M";`, true},
		{"grub", fixtureGRUB, ``, true},
		{"grub-both", strings.NewReplacer("efiSupport = false", "efiSupport = true", "efiInstallAsRemovable = false", "efiInstallAsRemovable = true").Replace(fixtureGRUB),
			`partitionTableType = "hybrid"; bootSize = "96M";`, false},
		{"init-script", `initScript.enable = true;`, `partitionTableType = "none";`, true},
	} {
		t.Run(test.variant, func(t *testing.T) {
			if test.long && !long {
				t.Skip("long; set DISKWRIGHT_LONG=1 (make test-long)")
			}
			system := fixture.Build(t, test.variant)
			image := func(args string) string {
				return fixtureImage(t, system, "timeout = 2; "+test.loader, "installBootLoader = true; additionalSpace = \"1M\"; copyChannel = false;"+test.args+args)
			}
			explicit := s.build(t, image(""))
			auto := s.build(t, image(`parameters.bootLoader = "auto";`))
			if explicit == auto {
				t.Fatal("both are one derivation")
			}
			if digest(t, s.host(explicit+"/nixos.img")) != digest(t, s.host(auto+"/nixos.img")) {
				t.Errorf("the images differ: %s, with auto %s", s.host(explicit), s.host(auto))
			}
		})
	}
}

// fixtureGRUB are the options that the fixture's GRUB was configured with.
const fixtureGRUB = `grub = {
	enable = true; devices = [ "/dev/vda" ]; efiSupport = false; efiInstallAsRemovable = false;
	mirroredBoots = [ { path = "/boot"; devices = [ "/dev/vda" ]; efiSysMountPoint = "/boot"; efiBootloaderId = null; } ];
	splashImage = null; splashMode = "stretch"; backgroundColor = null; theme = null; font = null; fontSize = null;
	entryOptions = "--class nixos --unrestricted"; subEntryOptions = "--class nixos"; timeoutStyle = "menu";
	extraConfig = "serial --unit=0 --speed=115200\nterminal_input --append serial\n"; extraPerEntryConfig = ""; extraEntries = "";
	extraEntriesBeforeNixOS = false; extraPrepareConfig = ""; extraInstallCommands = ""; extraGrubInstallArgs = [ ]; forceInstall = false;
	useOSProber = false; configurationLimit = 100; copyKernels = false; default = "0"; fsIdentifier = "uuid"; storePath = "/nix/store";
	gfxmodeEfi = "auto"; gfxmodeBios = "1024x768"; gfxpayloadEfi = "keep"; gfxpayloadBios = "text"; users = { };
};`

// storeOf returns a store with a copy of the fixture's in it.
func storeOf(t testing.TB, system *fixture.System) *nixStore {
	t.Helper()
	s := newStore(t)
	oracle.Run(t, "cp", "-a", "--reflink=auto", system.Root, s.root)
	return s
}

// fixtureImage is the expression of an image of the fixture, as if a configuration
// with that boot.loader had been evaluated to it.
func fixtureImage(t testing.TB, system *fixture.System, loader, args string) string {
	t.Helper()
	return fmt.Sprintf(`let
	standin = import %[1]s/nix/tests/standin { diskwright = %[2]s; };
	path = name: builtins.storePath name;
	package = path: target: { outPath = builtins.storePath path; pname = "grub"; version = "2.06"; grubTarget = target; };
	pkgs = standin // { grub2 = package "%[3]s" "i386-pc" // { override = _: package "%[4]s" "x86_64-efi"; }; };
	config = import %[1]s/nix/tests/standin/system.nix { inherit pkgs; loader = { %[6]s }; } // {
		systemd.package = path "%[5]s";
		system = {
			nixos = { version = "26.05"; versionSuffix = ""; distroName = "NixOS"; };
			build.toplevel = path "%[7]s";
		};
	};
in import %[1]s/nix/make-disk-image.nix { inherit pkgs config; inherit (pkgs) lib; %[8]s }`,
		tree, program, setting(t, system, "grub"), setting(t, system, "grubEfi"), closurePath(t, system, `-systemd-[0-9]+$`), loader, system.Toplevel, args)
}

// setting returns what the fixture's grub-config.xml, if it has one, says of a
// package: a store path, of something else in the closure if it says nothing.
func setting(t testing.TB, system *fixture.System, name string) string {
	t.Helper()
	if config := closurePath(t, system, `-grub-config\.xml$`); config != system.Toplevel {
		text, err := os.ReadFile(filepath.Join(system.Root, config))
		if err != nil {
			t.Fatal(err)
		}
		if m := regexp.MustCompile(`name="` + name + `">\s*<string value="(/[^"]+)"`).FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	return system.Toplevel
}

// closurePath returns the path of the fixture's closure with such a name, its
// toplevel if there is none.
func closurePath(t testing.TB, system *fixture.System, name string) string {
	t.Helper()
	for _, path := range system.Paths(t) {
		if regexp.MustCompile(name).MatchString(path) {
			return path
		}
	}
	return system.Toplevel
}
