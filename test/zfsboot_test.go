//go:build linux

package test

import (
	"path/filepath"
	"testing"

	"diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
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
}

// Firmware, boot loader, kernel and initrd start a system from a disk with FAT and
// one that is a pool, whose datasets are mounted then; the system says that
// everything in its store is right.
func TestBootZFS(t *testing.T) {
	zfsrig.Need(t)
	for _, c := range zfsBootCases {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			t.Parallel()
			s := fixture.Build(t, c.system)
			bootDisk, rootDisk := c.build(t, s)
			bootAgain, rootAgain := c.build(t, s)
			for _, two := range [][2]string{{bootDisk, bootAgain}, {rootDisk, rootAgain}} {
				if a, b := digest(t, two[0]), digest(t, two[1]); a != b {
					t.Errorf("two builds: %s and %s", a, b)
				}
			}
			console := boot.Run(t, boot.Machine{Image: bootDisk, Disks: []string{rootDisk}, Firmware: c.firmware, Memory: 1024})
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

// build builds the two disks of a case.
func (c *zfsBootCase) build(t testing.TB, s *fixture.System) (bootDisk, rootDisk string) {
	t.Helper()
	dir := scratch.Dir(t)
	args := []string{"build", "-q", "--no-sync", "-o", dir, "--builder", "zfs", "--boot-size", "128", "--root-size", "1024",
		"--system", s.Toplevel, "--closure-info", s.ClosureInfo, "--store-dir", s.Root}
	must(t, append(append(args, datasetArgs...), c.args...)...)
	bootDisk, rootDisk = filepath.Join(dir, "nixos.boot.img"), filepath.Join(dir, "nixos.root.img")
	for _, disk := range []string{bootDisk, rootDisk} {
		oracle.Run(t, "sgdisk", "-v", disk)
	}
	return bootDisk, rootDisk
}
