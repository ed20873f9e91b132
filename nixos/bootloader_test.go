package nixos

import (
	"context"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/nixstore"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
)

// Store paths of the tests.
const (
	storeTop     = "/nix/store/00000000000000000000000000000001-nixos-system-test-25.05"
	storeInstall = "/nix/store/00000000000000000000000000000002-"
	storeBuilder = "/nix/store/00000000000000000000000000000003-systemd-boot"
	storeExtra   = "/nix/store/00000000000000000000000000000004-copy-extra-files"
	storeSystemd = "/nix/store/00000000000000000000000000000005-systemd-257.6"
	storeBash    = "/nix/store/00000000000000000000000000000006-bash-5.2"
	storeTools   = "/nix/store/00000000000000000000000000000007-coreutils-9.7"
)

// newStore returns a tree of store objects with these files.
func newStore(t *testing.T, files map[string]string) *tree.Inode {
	t.Helper()
	root := tree.NewDir(tree.Time{})
	for path, text := range files {
		file := tree.NewFile(content.Bytes(text), tree.Time{})
		if err := tree.PutFile(root, strings.TrimPrefix(path, "/nix/store"), file, tree.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// switcher is how the wrapper of switch-to-configuration-ng names the installer.
func switcher(command string) string {
	return "#! " + storeBash + "/bin/bash -e\nexport OUT='" + storeTop + "'\nexport DISTRO_ID='nixos'\n" +
		"export INSTALL_BOOTLOADER='" + command + "'\nexec -a \"$0\" \"" + storeTop + "/bin/.switch-to-configuration-wrapped\"  \"$@\" \n"
}

func readLoader(t *testing.T, files map[string]string) (*boot.Settings, error) {
	t.Helper()
	return ReadBootLoader(context.Background(), newStore(t, files), nixstore.Path(storeTop))
}

const constants2505 = `#! /nix/store/00000000000000000000000000000008-python3/bin/python3 -B
import re

# These values will be replaced with actual values during the package build
EFI_SYS_MOUNT_POINT = Path("/efi")
BOOT_MOUNT_POINT = Path("/boot")
LOADER_CONF = EFI_SYS_MOUNT_POINT / "loader/loader.conf"  # Always stored on the ESP
NIXOS_DIR = Path(
    "/EFI/nixos".strip("/")
)  # Path relative to the XBOOTLDR or ESP mount point
TIMEOUT = "menu-force"
EDITOR = "" == "1"  # noqa: PLR0133
CONSOLE_MODE = "max"
BOOTSPEC_TOOLS = "/nix/store/00000000000000000000000000000009-bootspec"
DISTRO_NAME = "MyOS"
NIX = "/nix/store/0000000000000000000000000000000a-nix"
SYSTEMD = "` + storeSystemd + `"
CONFIGURATION_LIMIT = int("7")
REBOOT_FOR_BITLOCKER = bool("1")
CAN_TOUCH_EFI_VARIABLES = "1"
GRACEFUL = "1"
COPY_EXTRA_FILES = "` + storeExtra + `"
CHECK_MOUNTPOINTS = "/nix/store/0000000000000000000000000000000b-check-mountpoints"
STORE_DIR = "/nix/store"
`

const constants2605 = `EFI_SYS_MOUNT_POINT = Path("/boot")
BOOT_MOUNT_POINT = Path("/boot")
TIMEOUT = "3"
EDITOR = "1" == "1"  # noqa: PLR0133
CONSOLE_MODE = "keep"
DISTRO_NAME = "NixOS"
SYSTEMD = "` + storeSystemd + `"
CONFIGURATION_LIMIT = int("0")
REBOOT_FOR_BITLOCKER = bool("")
CAN_TOUCH_EFI_VARIABLES = "" == "1"
GRACEFUL = "" == "1"
COPY_EXTRA_FILES = "` + storeExtra + `"
STORE_DIR = "/nix/store"
BOOT_COUNTING_TRIES = "4"
BOOT_COUNTING = "True" == "True"
hashlib.sha256()
`

const constants2405 = `EFI_SYS_MOUNT_POINT = "/boot"
BOOT_MOUNT_POINT = "/boot"
TIMEOUT = "5"
EDITOR = "1" == "1"
CONSOLE_MODE = "keep"
DISTRO_NAME = "NixOS"
SYSTEMD = "` + storeSystemd + `"
CONFIGURATION_LIMIT = int("0")
CAN_TOUCH_EFI_VARIABLES = ""
GRACEFUL = ""
COPY_EXTRA_FILES = "` + storeExtra + `"
cmd = [f"{SYSTEMD}/bin/systemd-machine-id-setup", "--print"]
`

// copyExtra is as the module of NixOS writes it.
const copyExtra = "#!" + storeBash + "/bin/bash\nempty_file=$(" + storeTools + "/bin/mktemp)\n\n" +
	storeTools + `/bin/install -Dp "/nix/store/0000000000000000000000000000000c-memtest86+-efi/memtest.efi" "/boot/"'efi/memtest86/memtest.efi'` + "\n" +
	storeTools + `/bin/install -D $empty_file "/boot//EFI/nixos/.extra-files/"'efi/memtest86/memtest.efi'` + "\n\n" +
	storeTools + `/bin/install -Dp "/nix/store/0000000000000000000000000000000d-memtest86.conf" "/boot/loader/entries/"'memtest86.conf'` + "\n" +
	storeTools + `/bin/install -D $empty_file "/boot//EFI/nixos/.extra-files/loader/entries/"'memtest86.conf'` + "\n\n"

// copyExtraNewer has no quotations where none are needed, and drivers.
const copyExtraNewer = "#!" + storeBash + "/bin/bash\n" +
	storeTools + `/bin/install -Dp "/nix/store/0000000000000000000000000000000c-memtest86+-efi/memtest.efi" "/boot/"efi/memtest86/memtest.efi` + "\n" +
	storeTools + `/bin/install -D /dev/null "/boot//EFI/nixos/.extra-files/"efi/memtest86/memtest.efi` + "\n" +
	storeTools + `/bin/install -Dp "/nix/store/0000000000000000000000000000000e-refind/ext4_x64.efi" "/boot/"ext4_x64.efi` + "\n"

func systemdBootFiles(constants, extra, more string) map[string]string {
	return map[string]string{
		storeTop + "/bin/switch-to-configuration":                                switcher(storeInstall + "install-systemd-boot.sh"),
		storeInstall + "install-systemd-boot.sh":                                 "#!" + storeBash + "/bin/bash\n" + storeBuilder + "/bin/systemd-boot \"$@\"\n" + more + "\n",
		storeBuilder + "/bin/systemd-boot":                                       constants,
		storeExtra:                                                               extra,
		"/nix/store/0000000000000000000000000000000d-memtest86.conf":             "title  Memtest86+\n",
		"/nix/store/0000000000000000000000000000000c-memtest86+-efi/memtest.efi": "MZ",
	}
}

func TestReadSystemdBoot(t *testing.T) {
	set := func(change func(*boot.Settings)) *boot.Settings {
		s := boot.NewSettings(boot.SystemdBootName)
		limit := 0
		s.SystemdBoot.ConfigurationLimit = &limit
		s.SystemdBoot.Systemd = storeSystemd
		s.EFI.EFISysMountPoint = "/boot"
		s.SystemdBoot.ExtraFiles = map[string]string{}
		s.SystemdBoot.ExtraEntries = map[string]string{}
		s.SystemdBoot.ExtraEFIDrivers = map[string]string{}
		change(s)
		return s
	}
	memtest := map[string]string{"efi/memtest86/memtest.efi": "/nix/store/0000000000000000000000000000000c-memtest86+-efi/memtest.efi"}
	tests := []struct {
		name  string
		files map[string]string
		want  *boot.Settings
	}{
		{"24.05", systemdBootFiles(constants2405, "", ""), set(func(s *boot.Settings) {
			s.SystemdBoot.Builder = boot.Builder2405
		})},
		{"25.05", systemdBootFiles(constants2505, copyExtra, ""), set(func(s *boot.Settings) {
			bootDir, limit := "/boot", 7
			s.Timeout = nil
			s.EFI = boot.EFI{CanTouchEFIVariables: true, EFISysMountPoint: "/efi"}
			sd := s.SystemdBoot
			sd.Builder = boot.Builder2505
			sd.XBOOTLDRMountPoint = &bootDir
			sd.Editor, sd.ConsoleMode, sd.DistroName = false, "max", "MyOS"
			sd.ConfigurationLimit, sd.RebootForBitlocker, sd.Graceful = &limit, true, true
			sd.ExtraFiles = memtest
			sd.ExtraEntries["memtest86.conf"] = "title  Memtest86+\n"
		})},
		{"26.05", systemdBootFiles(constants2605, copyExtraNewer, ""), set(func(s *boot.Settings) {
			seconds := 3
			s.Timeout = &seconds
			s.SystemdBoot.BootCounting = boot.BootCounting{Enable: true, Tries: 4}
			s.SystemdBoot.ExtraFiles = memtest
			s.SystemdBoot.ExtraEFIDrivers["ext4_x64.efi"] = "/nix/store/0000000000000000000000000000000e-refind/ext4_x64.efi"
		})},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			have, err := readLoader(t, test.files)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, have); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadOtherLoaders(t *testing.T) {
	builder := storeInstall + "extlinux-conf-builder.sh"
	extlinux := boot.NewSettings(boot.ExtlinuxName)
	seconds := 10
	extlinux.Timeout = &seconds
	extlinux.Extlinux.ConfigurationLimit = 3
	extlinux.Extlinux.UseGenerationDeviceTree = false
	extlinux.Extlinux.DeviceTree = "vendor/board.dtb"
	initScript := boot.NewSettings(boot.InitScriptName)
	initScript.InitScript.DistroName = "MyOS"
	older := boot.NewSettings(boot.ExtlinuxName)
	older.Timeout = nil
	older.Extlinux.Specialisations = false
	tests := []struct {
		name, command string
		files         map[string]string
		want          *boot.Settings
	}{
		{"extlinux", storeInstall + "install-extlinux-conf.sh", map[string]string{
			storeInstall + "install-extlinux-conf.sh": "#!/bin/sh\nset -e\n" + builder + " -g 3 -t 10 -n vendor/board.dtb -r -d '/boot' -c \"$@\"\n",
			builder: "addEntry() { # specialisation\n",
		}, extlinux},
		{"older extlinux", builder + " -g 20 -t -1 -c", map[string]string{builder: "#!/bin/sh\n"}, older},
		{"init script", storeInstall + "init-script-builder.sh", map[string]string{
			storeInstall + "init-script-builder.sh": "mkdir -p /boot /sbin\n\naddEntry \"MyOS - Default\" $defaultConfig \"\"\n",
		}, initScript},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for form, text := range map[string]string{
				"wrapper": switcher(test.command),
				"perl":    "chomp(my $installBootLoader = <<'EOFBOOTLOADER');\n" + test.command + "\nEOFBOOTLOADER\n",
				"oldest":  "system(\"" + test.command + " $out\") == 0 or exit 1;\n",
			} {
				files := map[string]string{storeTop + "/bin/switch-to-configuration": text}
				for name, content := range test.files {
					files[name] = content
				}
				have, err := readLoader(t, files)
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				if d := cmp.Diff(test.want, have); d != "" {
					t.Error(form, d)
				}
			}
		})
	}
}

// A system without a boot loader says so, in the quotation of each of its times.
func TestReadNoBootLoader(t *testing.T) {
	const command = "echo 'Warning: do not know how to make this configuration bootable; please enable a boot loader.' 1>&2; true"
	for form, text := range map[string]string{
		"wrapper": switcher(strings.ReplaceAll(command, "'", `'\''`)),
		"perl":    "chomp(my $installBootLoader = <<'EOFBOOTLOADER');\n" + command + "\nEOFBOOTLOADER\n",
	} {
		s, err := readLoader(t, map[string]string{storeTop + "/bin/switch-to-configuration": text})
		if s != nil || err != nil {
			t.Errorf("%s: have %v, %v", form, s, err)
		}
	}
}

// What is not known is refused, and the error says what to do.
func TestReadBootLoaderRefuses(t *testing.T) {
	without := func(constants, name string) string {
		var kept []string
		for _, line := range strings.Split(constants, "\n") {
			if !strings.HasPrefix(line, name+" = ") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no switcher", map[string]string{storeTop + "/init": ""}, "system.switch.enable"},
		{"no installer", map[string]string{storeTop + "/bin/switch-to-configuration": "#!/bin/sh\n"}, "does not name"},
		{"hook", map[string]string{storeTop + "/bin/switch-to-configuration": switcher(storeInstall + "my-hook")}, "boot.loader.external"},
		{"no constant", systemdBootFiles(without(constants2505, "EDITOR"), "", ""), "constant EDITOR is missing"},
		{"odd number", systemdBootFiles(strings.Replace(constants2505, `int("7")`, `int("seven")`, 1), "", ""), `"seven"`},
		{"commands", systemdBootFiles(constants2505, "", "sed -i s/a/b/ /boot/loader/loader.conf"), "extraInstallCommands"},
		{"unified kernel images", systemdBootFiles(constants2605+"UKI_CONFIG = json.loads(Path(\"x\").read_text())\n", "", ""), "unified kernel images"},
		{"odd copy", systemdBootFiles(constants2505, storeTools+"/bin/cp a b\n", ""), "/bin/cp a b"},
		{"copy elsewhere", systemdBootFiles(constants2505, storeTools+"/bin/install -Dp \"/nix/store/x\" \"/srv/\"x\n", ""), "/srv/x"},
		{"extlinux argument", map[string]string{
			storeTop + "/bin/switch-to-configuration": switcher(storeInstall + "extlinux-conf-builder.sh -g 20 -t 5 -x 1 -c"),
			storeInstall + "extlinux-conf-builder.sh": "",
		}, "argument -x"},
		{"shell", map[string]string{
			storeTop + "/bin/switch-to-configuration": switcher(storeInstall + "install-extlinux-conf.sh"),
			storeInstall + "install-extlinux-conf.sh": "set -e\nfor d in a b; do x; done\n",
		}, "for d in a b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := readLoader(t, test.files)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "with bootLoader") {
				t.Errorf("have error %v, want one with %q that asks for bootLoader", err, test.want)
			}
		})
	}
}

func TestShellWords(t *testing.T) {
	tests := []struct {
		line string
		want []string // nil is an error
	}{
		{`a  b 'c d' "e f"g`, []string{"a", "b", "c d", "e fg"}},
		{`a "$@"`, []string{"a", "$@"}},
		{`a $@`, []string{"a", "$@"}},
		{`'it'\''s'`, []string{"it's"}},
		{`''`, []string{""}},
		{`a $b`, nil},
		{`a "$b"`, nil},
		{`a; b`, nil},
		{`a | b`, nil},
		{`a 'b`, nil},
		{`a \`, nil},
		{"a `b`", nil},
	}
	for _, test := range tests {
		have, err := shellWords(test.line)
		if (err != nil) != (test.want == nil) || err == nil && !cmp.Equal(have, test.want) {
			t.Errorf("%s: have %q, %v; want %q", test.line, have, err, test.want)
		}
	}
}
