//go:build linux

package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
)

// poolBuild is an image of the builder zfs: a system of the fixture on the datasets
// that NixOS's own ZFS images have.
type poolBuild struct {
	system   string // variant of the fixture
	disks    int
	fatType  string // of the partition for /boot
	pool     int    // its partition on the root disk
	embedded bool   // GRUB's core image, in the BIOS boot partition
	args     []string
}

const (
	typeBasicData = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
	typeESP       = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
)

var poolBuilds = map[string]poolBuild{
	"GRUB, two disks":         {system: "grub", disks: 2, fatType: typeBasicData, pool: 1, embedded: true},
	"systemd-boot, two disks": {system: "systemd-boot", disks: 2, fatType: typeESP, pool: 1, args: []string{"--root-pool-properties", "ashift=9"}},
	"GRUB, one disk":          {system: "grub-both", disks: 1, fatType: typeBasicData, pool: 3, embedded: true},
	"systemd-boot, one disk":  {system: "systemd-boot", disks: 1, fatType: typeESP, pool: 3},
}

// poolConfiguration is a configFile.
const poolConfiguration = "{ lib, ... }:\n{\n  networking.hostName = \"pool\"; # with a comment\n}\n# and one at the end"

// build builds the images of a case into a new directory.
func (b poolBuild) build(t testing.TB, s *fixture.System, contents string) (bootDisk, rootDisk string) {
	t.Helper()
	dir := scratch.Dir(t)
	config := filepath.Join(contents, "configuration.nix")
	must(t, append([]string{"build", "-q", "--no-sync", "-o", dir, "--builder", "zfs", "--disks", strconv.Itoa(b.disks),
		"--system", s.Toplevel, "--closure-info", s.ClosureInfo, "--store-dir", s.Root, "--boot-size", "128", "--root-size", "600",
		"--datasets", "tank/system/root,mount=/", "--datasets", "tank/system/var,mount=/var", "--datasets", "tank/local/nix,mount=/nix,atime=off",
		"--datasets", "tank/user/home,mount=/home", "--config-file", config,
		"--contents", "source=" + filepath.Join(contents, "files") + ",target=/var/lib/files,mode=755,user=1000,group=100",
	}, b.args...)...)
	rootDisk = filepath.Join(dir, "nixos.root.img")
	bootDisk = rootDisk
	if b.disks == 2 {
		bootDisk = filepath.Join(dir, "nixos.boot.img")
	}
	return bootDisk, rootDisk
}

// TestZFSBuild has others look at what the builder zfs makes: sgdisk and sfdisk at
// the tables, fsck.vfat and mtools at the FAT, zdb and GRUB at the pool, Nix at the
// configuration.
func TestZFSBuild(t *testing.T) {
	t.Parallel()
	contents := t.TempDir()
	write(t, contents, map[string]string{"configuration.nix": poolConfiguration, "files/a": "in the dataset of /var\n"})
	for name, b := range poolBuilds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fixture.Build(t, b.system)
			bootDisk, rootDisk := b.build(t, s, contents)
			again, againRoot := b.build(t, s, contents)
			if digest(t, bootDisk) != digest(t, again) || digest(t, rootDisk) != digest(t, againRoot) {
				t.Error("two builds differ")
			}
			b.checkBootDisk(t, s, bootDisk)
			b.checkPool(t, s, rootDisk)
		})
	}
}

// checkBootDisk checks the disk that the firmware starts from.
func (b poolBuild) checkBootDisk(t *testing.T, s *fixture.System, image string) {
	t.Helper()
	if out := oracle.Run(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	parts := sfdisk(t, image).PartitionTable.Partitions
	if parts[0].Start != 2048 || parts[0].Size != 2048 || parts[1].Start != 4096 || parts[1].Type != b.fatType {
		t.Errorf("partitions are %+v", parts)
	}
	var l layout
	fat := l.volume(t, image, 2, "/boot").extract(t)
	oracle.Run(t, "fsck.vfat", "-n", fat)
	if label := strings.TrimSpace(oracle.Run(t, "blkid", "-p", "-o", "value", "-s", "LABEL", fat)); label != "ESP" {
		t.Errorf("the label of the FAT is %q", label)
	}
	core, err := os.ReadFile(l.volume(t, image, 1, "").extract(t))
	if err != nil {
		t.Fatal(err)
	}
	if embedded := strings.Trim(string(core), "\x00") != ""; embedded != b.embedded {
		t.Errorf("there is something in the BIOS boot partition: %v", embedded)
	}
	kernel, err := filepath.EvalSymlinks(s.Kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	size, err := os.Stat(kernel)
	if err != nil {
		t.Fatal(err)
	}
	files := oracle.Run(t, "mdir", "-/", "-b", "-i", fat, "::")
	var menu, wanted string
	if b.fatType == typeESP {
		menu, wanted = "::/loader/entries", "::/EFI/BOOT/BOOTX64.EFI"
	} else {
		menu, wanted = "::/grub/grub.cfg", "::/grub/i386-pc/core.img"
		if text := oracle.Run(t, "mtype", "-i", fat, menu); !strings.Contains(text, "search --set=drive1 --fs-uuid 12CE-A600") || !strings.Contains(text, "($drive1)//kernels/") {
			t.Errorf("grub.cfg:\n%s", text)
		}
	}
	for _, name := range []string{menu, wanted} {
		if !strings.Contains(files, name) {
			t.Errorf("%s is missing:\n%s", name, files)
		}
	}
	listing := oracle.Run(t, "mdir", "-/", "-i", fat, "::")
	if digits := strconv.FormatInt(size.Size(), 10); !strings.Contains(strings.NewReplacer(" ", "", ",", "").Replace(listing), digits) {
		t.Errorf("there is no file of the kernel's %s bytes in the FAT:\n%s", digits, listing)
	}
}

// checkPool checks the disk with the pool.
func (b poolBuild) checkPool(t *testing.T, s *fixture.System, image string) {
	t.Helper()
	if out := oracle.Run(t, "sgdisk", "-v", image); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	var l layout
	pool := l.volume(t, image, b.pool, "/").extract(t)
	if out := oracle.Run(t, "zdb", "-l", pool); !strings.Contains(out, "labels = 0 1 2 3") || strings.Contains(out, "whole_disk: 1") != (b.disks == 2) {
		t.Errorf("zdb -l:\n%s", out)
	}
	zdb := func(args ...string) string {
		return oracle.Run(t, "zdb", append([]string{"-e", "-p", filepath.Dir(pool)}, args...)...)
	}
	if out := zdb("-bcc", "tank"); !strings.Contains(out, "No leaks (block sum matches space maps exactly)") {
		t.Errorf("zdb -bcc:\n%s", out)
	}
	datasets := zdb("-d", "tank")
	for _, name := range []string{"tank", "tank/system", "tank/system/root", "tank/system/var", "tank/local", "tank/local/nix", "tank/user", "tank/user/home"} {
		if !strings.Contains(datasets, "Dataset "+name+" [ZPL]") {
			t.Errorf("%s is missing:\n%s", name, datasets)
		}
	}

	at := func(dataset, path string) string {
		return "(loop0,gpt" + strconv.Itoa(b.pool) + ")/" + dataset + "@" + path
	}
	cat := func(dataset, path string) string {
		return string(oracle.Output(t, "grub-fstest", image, "cat", at(dataset, path)))
	}
	if got := cat("system/var", "/lib/files/a"); got != "in the dataset of /var\n" {
		t.Errorf("contents: %q", got)
	}
	if got := cat("local/nix", "/var/nix/db/schema"); got != "10" {
		t.Errorf("schema: %q", got)
	}
	kernel, err := filepath.EvalSymlinks(s.Kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	store, err := filepath.Rel(filepath.Join(s.Root, "nix"), kernel)
	if err != nil {
		t.Fatal(err)
	}
	if output, status := oracle.Exit(t, "grub-fstest", image, "cmp", at("local/nix", "/"+store), kernel); status != 0 || output != "" {
		t.Errorf("grub-fstest cmp %s: status %d\n%s", store, status, output)
	}
	for path, want := range map[string]string{"/": "", "/boot": "", "/nix": "", "/var": "", "/home": ""} {
		got := strings.TrimSpace(string(oracle.Output(t, "grub-fstest", image, "ls", at("system/root", path+"/"))))
		if path != "/" && got != want {
			t.Errorf("%s of the root dataset holds %q", path, got)
		}
	}
	b.checkConfiguration(t, cat("system/root", "/etc/nixos/configuration.nix"))
}

// checkConfiguration has Nix read the configuration in the image.
func (b poolBuild) checkConfiguration(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "configuration.nix")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out := oracle.Output(t, "nix-instantiate", "--eval", "--strict", "--json", "--expr",
		"let c = import "+strconv.Quote(path)+"; in [ (builtins.elemAt c.imports 0) ((builtins.elemAt c.imports 1) { lib = null; }) ]")
	var modules []struct {
		FileSystems map[string]struct{ Device, FsType string }
		Networking  struct{ HostName string }
	}
	if err := json.Unmarshal(out, &modules); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(modules) != 2 || modules[1].Networking.HostName != "pool" || len(modules[0].FileSystems) != 4 {
		t.Fatalf("the configuration is\n%s", text)
	}
	for mount, want := range map[string]string{"/": "tank/system/root", "/nix": "tank/local/nix", "/var": "tank/system/var", "/home": "tank/user/home"} {
		if fs := modules[0].FileSystems[mount]; fs.Device != want || fs.FsType != "zfs" {
			t.Errorf("%s is %+v", mount, fs)
		}
	}
}
