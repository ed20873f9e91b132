//go:build linux

package nix

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nixos is the expression of a system's config with nix/module.nix in it. Modules
// is a list of further modules, args more that modules get.
func nixos(modules string, args ...string) string {
	return fmt.Sprintf(`let
  pkgs = import %[1]s/nix/tests/standin { diskwright = %[2]s; };
  evaluated = pkgs.lib.evalModules {
    modules = [ %[1]s/nix/tests/standin/nixos.nix %[1]s/nix/module.nix ] ++ %[3]s;
    specialArgs = { inherit pkgs; inherit (pkgs) lib; modulesPath = %[1]s/nix/tests/standin/nixos/modules; %[4]s };
  };
  inherit (evaluated) config;
in
`, tree, program, modules, strings.Join(args, " "))
}

// summary is what the tests look at of an image.
const summary = `(image: let s = builtins.fromJSON (builtins.unsafeDiscardStringContext image.specification); in
  toString [ s.format s.partitionTableType s.label s.baseName s.diskSize s.additionalSpace (builtins.toString (s.bootLoader.efi.efiSysMountPoint or "-")) ])`

// The layout of the module's image is the one that the boot loader is for.
func TestModuleImage(t *testing.T) {
	for modules, want := range map[string]string{
		`[ ]`: "raw legacy nixos nixos auto 512M /boot",
		`[ { diskwright.image = { format = "qcow2"; additionalSpace = "0M"; }; } ]`:           "qcow2 legacy nixos nixos auto 0M /boot",
		`[ { fileSystems."/".label = "root"; } ]`:                                             "raw legacy root nixos auto 512M /boot",
		`[ { boot.loader.grub.efiSupport = true; } ]`:                                         "raw hybrid nixos nixos auto 512M /boot",
		`[ { boot.loader.grub.efiSupport = true; boot.loader.grub.devices = [ "nodev" ]; } ]`: "raw efi nixos nixos auto 512M /boot",
		`[ { boot.loader.systemd-boot.enable = true; boot.loader.grub.enable = false; } ]`:    "raw efi nixos nixos auto 512M /boot",
		`[ { boot.loader.systemd-boot = { enable = true; xbootldrMountPoint = "/boot"; }; boot.loader.grub.enable = false; boot.loader.efi.efiSysMountPoint = "/efi"; } ]`: "raw efixbootldr nixos nixos auto 512M /efi",
	} {
		var got string
		shared(t).value(t, nixos(modules)+summary+" config.system.build.diskwrightImage", &got)
		if got != want {
			t.Errorf("%s gives\n%s, want\n%s", modules, got, want)
		}
	}
}

// Variants bring file systems and a loader of their own, and are named as their
// files are.
func TestModuleVariants(t *testing.T) {
	want := map[string]string{
		"diskwright-raw":      "raw legacy nixos standin 4096 512M /boot standin.img grub",
		"diskwright-raw-efi":  "raw efi nixos standin 4096 512M /boot standin.img systemd-boot",
		"diskwright-qemu":     "qcow2 legacy nixos standin 4096 512M /boot standin.qcow2 grub",
		"diskwright-qemu-efi": "qcow2 efi nixos standin 4096 512M /boot standin.qcow2 systemd-boot",
	}
	var got map[string]string
	shared(t).value(t, nixos(`[ { virtualisation.diskSize = 4096; } ]`)+`builtins.mapAttrs (_: image: toString [
		(`+summary+` image)
		image.passthru.filePath
		(builtins.filter (name: (builtins.fromJSON (builtins.unsafeDiscardStringContext image.specification)).bootLoader ? ${name}) [ "grub" "systemd-boot" ])
	]) config.system.build.images`, &got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variants (-want +got):\n%s", diff)
	}
}

// Releases without variants take the module, too.
func TestModuleWithoutVariants(t *testing.T) {
	var got bool
	shared(t).value(t, nixos("[ ]", "variants = false;")+`config ? image`, &got)
	if got {
		t.Error("the module defines image.modules where there is no such option")
	}
}
