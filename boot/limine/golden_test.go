package limine

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/partition"
	"diskwright/tree"

	"golang.org/x/crypto/blake2b"
)

// scriptText is what ParseConfig looks for in limine-install.py.
var scriptText = []byte(strings.Join(script, "\n"))

// Everything that the real installer wrote.
func TestGoldens(t *testing.T) {
	for _, dir := range boottest.Cases(t, "testdata/goldens") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c := boottest.Load(t, dir)
			s, err := ParseConfig(c.Settings, scriptText)
			if strings.Contains(dir, "secureboot") {
				if err == nil || !strings.Contains(err.Error(), "secureBoot.enable is true") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			layout := partition.EFI
			if s.Limine.BIOSDevice != boot.NoDevice {
				layout = partition.Hybrid // with the partition index of the case
				c.Put(t, s.Limine.Package+"/bin/limine", string(testImage(1000)))
			}
			in := install(t, c, s, layout)
			wantEntry := s.EFI.CanTouchEFIVariables
			if (in.EFIEntry != nil) != wantEntry || wantEntry && *in.EFIEntry != (boot.EFIEntry{Description: "Limine", Path: `\efi\limine\BOOTX64.EFI`}) {
				t.Errorf("EFI entry %+v", in.EFIEntry)
			}
			c.Compare(t, c.Root, boottest.Options{Skip: func(path string) bool {
				// Was put there above, over the stub.
				return strings.HasSuffix(path, "/bin/limine")
			}})
		})
	}
}

// install installs into the tree of a case.
func install(t *testing.T, c *boottest.Case, s *boot.Settings, layout partition.Layout) *boot.Installation {
	t.Helper()
	in, err := Install(context.Background(), request(t, c, s, layout))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Apply(c.Root, []string{"/boot"}, tree.Time{}); err != nil {
		t.Fatal(err)
	}
	return in
}

func request(t *testing.T, c *boottest.Case, s *boot.Settings, layout partition.Layout) *boot.Request {
	t.Helper()
	return &boot.Request{Settings: s, Files: boot.Files{Root: c.Root}, System: c.System, Disk: boottest.Disk(t, layout)}
}

// load returns a case and its settings.
func load(t *testing.T, name string) (*boottest.Case, *boot.Settings) {
	t.Helper()
	c := boottest.Load(t, filepath.Join("testdata/goldens", name))
	s, err := ParseConfig(c.Settings, scriptText)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// menuOf returns the lines of a menu that match none of the prefixes.
func menuOf(t *testing.T, c *boottest.Case, without ...string) string {
	t.Helper()
	text, err := boot.Files{Root: c.Root}.Read("/boot/limine/limine.conf")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
lines:
	for line := range strings.Lines(string(text)) {
		for _, prefix := range without {
			if strings.HasPrefix(line, prefix) {
				continue lines
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

// A generation with specialisations is a submenu, of which the newest is open.
func TestSpecialisations(t *testing.T) {
	c, s := load(t, "limine-02-uefi-vars")
	for _, n := range []int{0, 2} {
		g := &c.System.Profiles[0].Generations[n]
		variant := boot.Specialisation{Name: "variant", Document: g.Document}
		variant.Init = "/nix/store/variant/init"
		g.Specialisations = []boot.Specialisation{variant}
	}
	install(t, c, s, partition.EFI)
	const want = `timeout: 5
editor_enabled: no
hash_mismatch_panic: no
graphics: yes
default_entry: 3
interface_help_hidden: False

# NixOS boot entries start here
/+NixOS default profile
//+Generation 3
///Default
comment: NixOS Xantusia 25.11.20250903.cdef012 (Linux 6.12.3), built on 2025-10-03 00:00:01
cmdline: init=/nix/store/q88yjd28vkxxr6ij60s8crln4v45njad-nixos-system-test3-25.11.20250903.cdef012/init root=fstab loglevel=4 lsm=landlock,yama,bpf
///variant
comment: NixOS Xantusia 25.11.20250903.cdef012 (Linux 6.12.3), built on 2025-10-03 00:00:01
cmdline: init=/nix/store/variant/init root=fstab loglevel=4 lsm=landlock,yama,bpf
//Generation 2
comment: NixOS Warbler 25.05.20250102.bcdef01 (Linux 6.12.1), built on 2025-02-02 13:14:15
cmdline: init=/nix/store/l84jkbxazjpfxny8p14ign52dmvw3nj8-nixos-system-test2-25.05.20250102.bcdef01/init console=ttyS0,115200n8 loglevel=4
//Generation 1
///Default
comment: NixOS Warbler 25.05.20250101.abcdef0 (Linux 6.12.1), built on 2025-02-01 10:11:12
cmdline: init=/nix/store/v1605d2xln7pal29qr09z59hk8ywknhz-nixos-system-test1-25.05.20250101.abcdef0/init loglevel=4 net.ifnames=0
///variant
comment: NixOS Warbler 25.05.20250101.abcdef0 (Linux 6.12.1), built on 2025-02-01 10:11:12
cmdline: init=/nix/store/variant/init loglevel=4 net.ifnames=0

# NixOS boot entries end here`
	if got := menuOf(t, c, "protocol", "kernel_path", "module_path"); got != want {
		t.Errorf("got\n%s", got)
	}
}

// What an installer left before goes, but for directories; not if nothing goes
// into a disk.
func TestStaleFiles(t *testing.T) {
	c, s := load(t, "limine-01-uefi")
	for _, name := range []string{"/boot/limine/kernels/old", "/boot/limine/xen/1/boot-xen.cfg", "/boot/limine/LIMINE.CONF", "/boot/other"} {
		c.Put(t, name, "x")
	}
	in := install(t, c, s, partition.EFI)
	files := boot.Files{Root: c.Root}
	for name, want := range map[string]bool{
		"/boot/limine/kernels/old": false, "/boot/limine/kernels": true, "/boot/limine/xen/1": false, "/boot/limine/xen": true,
		"/boot/other": true, "/boot/limine/LIMINE.CONF": true, "/boot/limine/limine.conf": false, // a FAT has one of them
	} {
		if files.Exists(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	if len(in.Remove) != 2+1 { // the directory xen, and what is in it by itself
		t.Errorf("removed %q", in.Remove)
	}

	c, s = load(t, "limine-05-both")
	c.Put(t, "/boot/limine/kernels/old", "x")
	install(t, c, s, partition.EFI)
	if !(boot.Files{Root: c.Root}).Exists("/boot/limine/kernels/old") {
		t.Error("removed with nodev")
	}
}

// What cannot be installed is refused by the name of the option.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		layout partition.Layout
		change func(c *boottest.Case, s *boot.Settings)
		want   string
	}{
		{partition.Legacy, func(*boottest.Case, *boot.Settings) {}, "efiSupport: partitionTableType legacy has no EFI system partition"},
		{partition.EFIXBOOTLDR, func(*boottest.Case, *boot.Settings) {}, `efi.efiSysMountPoint is "/boot"`},
		{partition.LegacyGPT, bios(nil), "partitionTableType legacy+gpt has no FAT at /boot"},
		{partition.EFI, func(_ *boottest.Case, s *boot.Settings) { s.Limine.Package = "/nix/store/missing" }, `"/nix/store/missing/share/limine/BOOTX64.EFI"`},
		{partition.EFI, func(_ *boottest.Case, s *boot.Settings) { s.Limine.Style.Wallpapers = []string{"/missing"} }, "style.wallpapers: "},
		{partition.EFI, func(c *boottest.Case, s *boot.Settings) {
			c.Put(t, "/a/backgrounds/x.png", "a")
			c.Put(t, "/b/backgrounds/x.png", "b")
			s.Limine.Style.Wallpapers = []string{"/a/backgrounds/x.png", "/b/backgrounds/x.png"}
		}, `would both become "wallpapers/backgrounds-x.png"`},
		{partition.EFI, func(_ *boottest.Case, s *boot.Settings) {
			s.Limine.AdditionalFiles = map[string]string{"a": "/nix"}
		}, "additionalFiles: "},
		{partition.EFI, func(c *boottest.Case, s *boot.Settings) {
			c.Put(t, s.Limine.Package+"/share/limine/BOOTX64.EFI", "no place")
			s.Limine.EnrollConfig = new(bool)
			*s.Limine.EnrollConfig = true
		}, "enrollConfig: "},
		{partition.EFI, func(c *boottest.Case, _ *boot.Settings) {
			c.System.Profiles[0].Generations[0].InitrdSecrets = "/append"
			c.Put(t, "/append", "#!/bin/sh\nexit 1\n")
		}, "boot.initrd.secrets"},
		{partition.EFI, func(c *boottest.Case, _ *boot.Settings) { c.System.Profiles[0].Generations = nil }, "no generation"},
		{partition.EFI, func(c *boottest.Case, _ *boot.Settings) {
			c.System.Profiles[0].Generations[0].Document.System = "riscv64-linux"
		}, `a system of "riscv64-linux"`},
		{partition.Hybrid, bios(func(c *boottest.Case, _ *boot.Settings) {
			c.System.Profiles[0].Generations[0].Document.System = "aarch64-linux"
		}), "has no BIOS"},
		{partition.Hybrid, bios(nil), `"/nix/store/yy7xq03kbyzylajn7ym9ilp3mcvapqyj-limine-9.3.0/bin/limine" has no boot image`},
		{partition.Hybrid, bios(withImage(t, 1)), "partitionIndex is 1: that partition (EFI system) is no BIOS boot partition"},
		{partition.Hybrid, bios(withImage(t, 9)), "partitionIndex is 9: partitionTableType hybrid has no such partition"},
		{partition.LegacyBoot, bios(withImage(t, 1)), "an MBR needs none"},
		{partition.Hybrid, bios(func(_ *boottest.Case, s *boot.Settings) { s.Limine.BIOSImage = "/missing" }), "biosImage: open /missing"},
	} {
		golden, s := load(t, "limine-01-uefi")
		c.change(golden, s)
		if _, err := Install(context.Background(), request(t, golden, s, c.layout)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.layout, err, c.want)
		}
	}
	golden, s := load(t, "limine-01-uefi")
	golden.System = nil
	if _, err := Install(context.Background(), request(t, golden, s, partition.EFI)); err == nil {
		t.Error("no error without a system")
	}
}

// bios returns a change that installs for BIOS only.
func bios(more func(*boottest.Case, *boot.Settings)) func(*boottest.Case, *boot.Settings) {
	return func(c *boottest.Case, s *boot.Settings) {
		s.EFI.EFISysMountPoint = ""
		s.Limine.EFISupport, s.Limine.BIOSSupport, s.Limine.BIOSDevice = false, nil, "/dev/vda"
		if more != nil {
			more(c, s)
		}
	}
}

// withImage returns a change that has a boot image, and a partition index.
func withImage(t *testing.T, index int) func(*boottest.Case, *boot.Settings) {
	return func(c *boottest.Case, s *boot.Settings) {
		c.Put(t, s.Limine.Package+"/bin/limine", "\x7fELF..."+string(testImage(1000))+"...")
		s.Limine.PartitionIndex = &index
	}
}

// Without the option the only package is taken.
func TestPackageIsFound(t *testing.T) {
	c, s := load(t, "limine-01-uefi")
	s.Limine.Package = ""
	install(t, c, s, partition.EFI)
	c.Compare(t, c.Root, boottest.Options{})
	c.Put(t, "/nix/store/00000000000000000000000000000000-limine-8/share/limine/x", "")
	if _, err := Install(context.Background(), request(t, c, s, partition.EFI)); err == nil || !strings.Contains(err.Error(), "2 packages of limine") {
		t.Errorf("%v", err)
	}
}

// Settings of an installer that is not known are not guessed.
func TestParseConfigRefuses(t *testing.T) {
	c := boottest.Load(t, "testdata/goldens/limine-01-uefi")
	var members map[string]any
	if err := json.Unmarshal(c.Settings, &members); err != nil {
		t.Fatal(err)
	}
	change := func(name string, value any) []byte {
		copied := map[string]any{}
		for k, v := range members {
			copied[k] = v
		}
		if copied[name] = value; value == nil {
			delete(copied, name)
		}
		text, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, bad := range []struct {
		config, script []byte
		want           string
	}{
		{c.Settings, []byte("print()"), "another version of NixOS"},
		{change("newOption", 1), scriptText, `unknown field "newOption"`},
		{change("timeout", nil), scriptText, "it lacks timeout"},
		{change("style", map[string]any{"new": 1}), scriptText, `style: json: unknown field "new"`},
		{append(c.Settings, "x"...), scriptText, "behind its end"},
		{[]byte("["), scriptText, "limine-install.json"},
		{change("biosDevice", ""), scriptText, "biosDevice is empty"},
	} {
		if s, err := ParseConfig(bad.config, bad.script); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%v, %v, want %q", s, err, bad.want)
		}
	}
	s, err := ParseConfig(change("partitionIndex", 2), scriptText)
	if err != nil || *s.Limine.PartitionIndex != 2 || *s.Timeout != 5 {
		t.Errorf("%+v, %v", s, err)
	}
}

func blake(b []byte) string {
	sum := blake2b.Sum512(b)
	return hex.EncodeToString(sum[:])
}
