//go:build linux

package test

import (
	"path/filepath"
	"regexp"
	"testing"

	"diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/scratch"
	"diskwright/test/zfsrig"
)

// datasetArgs are the file systems that NixOS's own images on ZFS have.
var datasetArgs = []string{
	"--datasets", "tank/system/root,mount=/", "--datasets", "tank/system/var,mount=/var",
	"--datasets", "tank/local/nix,mount=/nix", "--datasets", "tank/user/home,mount=/home",
}

// zfsBootCase is a system on ZFS that starts.
type zfsBootCase struct {
	name     string
	system   string // variant of the fixture
	firmware boot.Firmware
	args     []string
	long     bool
}

var zfsBootCases = []zfsBootCase{
	{"GRUB by BIOS", "zfs-grub", boot.BIOS, nil, false},
	{"systemd-boot by UEFI", "zfs-systemd-boot", boot.UEFI, nil, false},
	{"GRUB by UEFI", "zfs-grub", boot.UEFI, nil, true},
	{"GRUB by BIOS, OpenZFS 2.1", "zfs-grub", boot.BIOS, []string{"--features", "openzfs-2.1"}, true},
	{"GRUB by BIOS, one disk", "zfs-grub", boot.BIOS, []string{"--disks", "1"}, true},
	{"systemd-boot by UEFI, one disk", "zfs-systemd-boot", boot.UEFI, []string{"--disks", "1"}, true},
}

// Firmware, boot loader, kernel and initrd start a system from a disk with FAT and
// one that is a pool, or from one with both. The pool's datasets are mounted then, and
// the system says that everything in its store is right.
func TestBootZFS(t *testing.T) {
	zfsrig.Need(t)
	for _, c := range zfsBootCases {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			t.Parallel()
			s := fixture.Build(t, c.system)
			disks, again := c.build(t, s), c.build(t, s)
			for i := range disks {
				if a, b := digest(t, disks[i]), digest(t, again[i]); a != b {
					t.Errorf("two builds: %s and %s", a, b)
				}
			}
			console := boot.Run(t, boot.Machine{Image: disks[0], Disks: disks[1:], Firmware: c.firmware, Memory: 1024})
			checkBooted(t, console, s, s.Toplevel)
			got := console.Report()
			for key, want := range map[string]string{
				"root": "tank/system/root", "mounts": "/:zfs,/nix:zfs,/var:zfs,/boot:vfat,/home:zfs",
			} {
				if got[key] != want {
					t.Errorf("%s is %q, want %q", key, got[key], want)
				}
			}
		})
	}
}

// Where there is no kernel with ZFS, systems get as far as without it: boot loader,
// menu, kernel and initrd are on the boot disk, and the kernel sees the partitions of
// the other one.
func TestBootZFSLoaders(t *testing.T) {
	t.Parallel()
	for _, c := range []zfsBootCase{
		{"GRUB by BIOS", "grub-both", boot.BIOS, nil, false},
		{"systemd-boot by UEFI", "systemd-boot", boot.UEFI, nil, false},
		{"GRUB by UEFI", "grub-both", boot.UEFI, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			t.Parallel()
			disks := c.build(t, fixture.Build(t, c.system))
			console := boot.Run(t, boot.Machine{Image: disks[0], Disks: disks[1:], Firmware: c.firmware,
				Until: regexp.MustCompile(`FIXTURE-FAILED`)})
			if !regexp.MustCompile(`in the initrd: no file system (?s:.*)\bvdb1\n(?s:.*)\bvdb9\n`).MatchString(console.Text) {
				t.Errorf("the initrd does not see the partitions of the pool's disk:\n%s", console.Text)
			}
		})
	}
}

// build builds the disks of a case: one, or that with FAT and that of the pool.
func (c *zfsBootCase) build(t testing.TB, s *fixture.System) (disks []string) {
	t.Helper()
	dir := scratch.Dir(t)
	args := []string{"build", "-q", "--no-sync", "-o", dir, "--builder", "zfs", "--boot-size", "128", "--root-size", "1024",
		"--system", s.Toplevel, "--closure-info", s.ClosureInfo, "--store-dir", s.Root}
	must(t, append(append(args, datasetArgs...), c.args...)...)
	disks, err := filepath.Glob(filepath.Join(dir, "nixos.*.img")) // boot before root
	if err != nil || len(disks) == 0 {
		t.Fatalf("no disks (%v)", err)
	}
	return disks
}
