//go:build linux

package test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"diskwright/boot"
	"diskwright/boot/grub"
	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/format/raw"
	"diskwright/nixos"
	"diskwright/nixstore"
	"diskwright/partition"
	qemu "diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// grubDisk is a disk with GRUB, made without the builder: a root tree, what GRUB
// adds to it, and the places for both.
type grubDisk struct {
	t      *testing.T
	table  *partition.Table
	root   *tree.Inode
	system *boot.System
	disk   *boot.Disk
}

var grubEpoch = tree.Time{Sec: 1700000000}

// newGRUBDisk plans a disk for a root tree.
func newGRUBDisk(t *testing.T, layout partition.Layout, root *tree.Inode, mebibytes int64) *grubDisk {
	t.Helper()
	const rootUUID = "f222513b-ded1-49fa-b591-20ce86a2fe7f"
	table, err := partition.Plan(partition.Request{
		Layout: layout, DiskSize: mebibytes << 20, BootSize: 96 << 20,
		Deterministic: true, RootGUID: uuid.MustParse(rootUUID),
		Identify: func(role string) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte(role)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &grubDisk{t: t, table: table, root: root, disk: &boot.Disk{Table: table}}
	for _, p := range table.Partitions {
		switch {
		case p.Role == partition.Root:
			d.disk.FileSystems = append(d.disk.FileSystems, boot.FileSystem{
				MountPoint: "/", Partition: p.Number, Type: boot.TypeExt4, UUID: rootUUID, Label: "nixos"})
		case p.MountPoint != "":
			d.disk.FileSystems = append(d.disk.FileSystems, boot.FileSystem{
				MountPoint: p.MountPoint, Partition: p.Number, Type: boot.TypeFAT, UUID: fmt.Sprintf("1234-%04X", p.Number), Label: p.Label})
		}
	}
	return d
}

// install installs GRUB.
func (d *grubDisk) install(s *boot.Settings) *boot.Installation {
	d.t.Helper()
	oracle.Need(d.t, "grub-mkimage")
	in, err := grub.Install(context.Background(), &boot.Request{
		Settings: s, Files: boot.Files{Root: d.root}, System: d.system, Disk: d.disk, Epoch: grubEpoch})
	if err != nil {
		d.t.Fatal(err)
	}
	return in
}

// write makes the image of the disk, with an installation or without.
func (d *grubDisk) write(in *boot.Installation) (image string) {
	t := d.t
	t.Helper()
	var fats []string
	for _, f := range d.disk.FileSystems {
		if f.Type == boot.TypeFAT {
			fats = append(fats, f.MountPoint)
		}
	}
	if in != nil {
		if err := in.Apply(d.root, fats, grubEpoch); err != nil {
			t.Fatal(err)
		}
		if in.BootCode != nil {
			d.table.BootCode = in.BootCode
		}
	}
	parts := map[int]content.Source{}
	for _, f := range d.disk.FileSystems {
		if f.Type != boot.TypeFAT {
			continue
		}
		files, err := tree.Split(d.root, f.MountPoint, grubEpoch)
		if err != nil {
			t.Fatal(err)
		}
		p := d.table.Partitions[slices.IndexFunc(d.table.Partitions, func(p partition.Partition) bool { return p.Number == f.Partition })]
		v, err := fat.New(files, fat.Options{Label: f.Label, VolumeID: 0x12340000 | uint32(p.Number), Size: d.table.Size(p), HiddenSectors: uint32(p.Start), Time: grubEpoch})
		if err != nil {
			t.Fatal(err)
		}
		m, err := v.Map()
		if err != nil {
			t.Fatal(err)
		}
		parts[f.Partition] = m
	}
	p, _ := d.table.ByRole(partition.Root)
	fsys, err := ext4.New(d.root, ext4.Options{Size: d.table.Size(p), Label: "nixos", UUID: uuid.MustParse(d.disk.FileSystems[len(d.disk.FileSystems)-1].UUID), Epoch: grubEpoch.Sec, ChecksumSeed: 1})
	if err != nil {
		t.Fatal(err)
	}
	parts[p.Number] = fsys.Map()
	m, err := d.table.Map(parts)
	if err != nil {
		t.Fatal(err)
	}
	image = filepath.Join(scratch.Dir(t), "disk.img")
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := raw.WriteFile(context.Background(), m, f, raw.Options{}); err != nil {
		t.Fatal(err)
	}
	if in != nil {
		for _, e := range in.Embed {
			if _, err := f.WriteAt(e.Data, e.Offset); err != nil {
				t.Fatal(err)
			}
		}
	}
	return image
}

// grubCases are disks that GRUB can be installed on, and what grub-install is told
// to do for each firmware.
var grubCases = []struct {
	name   string
	layout partition.Layout
	change func(*boot.Settings)
	guest  bool // a boot partition is a FAT, which hosts may not be able to mount
	long   bool
}{
	{"legacy", partition.Legacy, nil, false, false},
	{"legacy+gpt", partition.LegacyGPT, nil, false, false},
	{"hybrid", partition.Hybrid, func(s *boot.Settings) { s.GRUB.EFISupport, s.GRUB.EFIInstallAsRemovable = true, true }, true, false},
	{"legacy+boot", partition.LegacyBoot, nil, true, true},
	{"efi", partition.EFI, func(s *boot.Settings) { s.GRUB.EFISupport, s.GRUB.Devices = true, []string{boot.NoDevice} }, true, true},
}

// What is embedded, and what is in /boot, is what Debian's grub-install leaves on
// the same disk, to the byte. There are no differences to explain.
func TestGRUBAsGRUBInstall(t *testing.T) {
	oracle.Need(t, "grub-install")
	oracle.NeedFile(t, "grub-pc-bin", "/usr/lib/grub/i386-pc/boot.img")
	oracle.NeedFile(t, "grub-efi-amd64-bin", "/usr/lib/grub/x86_64-efi/kernel.img")
	for _, c := range grubCases {
		t.Run(c.name, func(t *testing.T) {
			if c.long {
				long(t)
			}
			settings := boot.NewSettings(boot.GRUBName)
			settings.GRUB.Devices = []string{"/dev/vda"}
			settings.GRUB.HostGrub = "/usr"
			settings.Entries = []boot.Entry{{Title: "Linux", Kernel: "/boot/vmlinuz", Options: "root=LABEL=nixos"}}
			if c.change != nil {
				c.change(settings)
			}
			root := func() *tree.Inode {
				root := tree.NewDir(grubEpoch)
				if err := tree.PutFile(root, "/boot/vmlinuz", tree.NewFile(content.Bytes("kernel"), grubEpoch), grubEpoch); err != nil {
					t.Fatal(err)
				}
				return root
			}
			disk := newGRUBDisk(t, c.layout, root(), 256)
			in := disk.install(settings)
			ours, theirs := disk.write(in), newGRUBDisk(t, c.layout, root(), 256).write(nil)
			var have, want map[string]string
			if c.guest {
				have, want = installInGuest(t, disk, ours, theirs, settings)
			} else {
				have, want = installHere(t, disk, ours, theirs)
			}
			// The menu is none of grub-install's files.
			delete(have, "grub/grub.cfg")
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("/boot (-grub-install +diskwright):\n%s", diff)
			}
			if len(have) < 300 {
				t.Errorf("only %d files in /boot: want GRUB's modules and translations", len(have))
			}
			compareOutside(t, disk, ours, theirs)
		})
	}
}

// compareOutside compares the sectors of two disks that no file system has: the
// boot sector, the gap or the BIOS boot partition, and the partition tables.
func compareOutside(t *testing.T, d *grubDisk, ours, theirs string) {
	t.Helper()
	inside := func(sector int64) bool {
		return slices.ContainsFunc(d.table.Partitions, func(p partition.Partition) bool {
			return p.MountPoint != "" && p.Start <= sector && sector <= p.Last()
		})
	}
	differ := 0
	for s := int64(0); s < d.table.DiskSize/partition.SectorSize; s++ {
		if inside(s) {
			continue
		}
		first, end := s*partition.SectorSize, (s+1)*partition.SectorSize
		if !bytes.Equal(readRange(t, ours, first, end), readRange(t, theirs, first, end)) {
			if differ++; differ <= 5 {
				t.Errorf("sector %d differs from grub-install's", s)
			}
		}
	}
	if differ > 5 {
		t.Errorf("%d sectors differ from grub-install's", differ)
	}
}

// installHere has Debian's grub-install work on an image that this kernel can
// mount, and returns what is in /boot of ours and of that one.
func installHere(t *testing.T, d *grubDisk, ours, theirs string) (have, want map[string]string) {
	t.Helper()
	oracle.NeedRoot(t)
	p, _ := d.table.ByRole(partition.Root)
	want = grubInstall(t, theirs, p.Number)
	dir := oracle.Mount(t, ours, "ext4", "ro", d.table.Offset(p), d.table.Size(p))
	return grubFiles(t, filepath.Join(dir, "boot")), want
}

// installInGuest is installHere for disks with a FAT, in a guest. A FAT has no
// modes.
func installInGuest(t *testing.T, d *grubDisk, ours, theirs string, s *boot.Settings) (have, want map[string]string) {
	t.Helper()
	root, _ := d.table.ByRole(partition.Root)
	fat, _ := d.disk.Mounted("/boot")
	var script strings.Builder
	// GRUB does not know the names of user-mode Linux's disks, and would take
	// partitions for disks.
	for i, disk := range []string{"vda", "vdb"} {
		fmt.Fprintf(&script, "mknod /dev/%s b 98 %d\n", disk, 16*i)
		for _, p := range d.table.Partitions {
			fmt.Fprintf(&script, "mknod /dev/%s%d b 98 %d\n", disk, p.Number, 16*i+p.Number)
		}
	}
	mount := func(disk, dir string) {
		fmt.Fprintf(&script, "mount /dev/%s%d %s\nmount -t vfat /dev/%s%d %s/boot\n", disk, root.Number, dir, disk, fat.Partition, dir)
	}
	list := func(dir, name string) {
		fmt.Fprintf(&script, "(cd %s/boot && find . -type f -exec sha256sum {} +) >/mnt/out/%s\n", dir, name)
	}
	mount("vda", "/mnt/a")
	if s.GRUB.Devices[0] != boot.NoDevice {
		script.WriteString("grub-install --recheck --root-directory=/mnt/a --target=i386-pc /dev/vda\n")
	}
	if s.GRUB.EFISupport {
		script.WriteString("grub-install --recheck --target=x86_64-efi --boot-directory=/mnt/a/boot --efi-directory=/mnt/a/boot --no-nvram --bootloader-id=NixOS-boot")
		if s.GRUB.EFIInstallAsRemovable {
			script.WriteString(" --removable")
		}
		script.WriteString("\n")
	}
	list("/mnt/a", "want")
	mount("vdb", "/mnt/b")
	list("/mnt/b", "have")
	script.WriteString("umount /mnt/a/boot /mnt/a /mnt/b/boot /mnt/b\n")
	out := oracle.Guest(t, script.String(), theirs, ours)
	return readDigests(t, filepath.Join(out, "have")), readDigests(t, filepath.Join(out, "want"))
}

// readDigests reads what sha256sum prints.
func readDigests(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(text)) {
		digest, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ./")
		files[name] = digest
	}
	return files
}

// grubInstall has Debian's grub-install work on an image, whose root file system
// is in that partition, and returns what is in its /boot then.
func grubInstall(t *testing.T, image string, root int) map[string]string {
	t.Helper()
	device := oracle.Loop(t, image, 0, 0)
	deletePartitions(t, device) // of whoever was stopped before he could
	oracle.Run(t, "partx", "--add", device)
	defer deletePartitions(t, device)
	part := fmt.Sprintf("%sp%d", device, root)
	dir := oracle.MountDevice(t, part, "ext4", "")
	oracle.Run(t, "grub-install", "--recheck", "--root-directory="+dir, "--target=i386-pc", device)
	files := grubFiles(t, filepath.Join(dir, "boot"))
	oracle.Unmount(t, dir)
	return files
}

// deletePartitions takes the partitions of a loop device from the kernel, which
// may be about to close one; or a build by Nix has one mounted, in the mount
// namespace that it was given, until it ends.
func deletePartitions(t *testing.T, device string) {
	t.Helper()
	output, status := "", 0
	for wait := 10 * time.Millisecond; wait < 3*time.Minute; wait *= 2 {
		if output, status = oracle.Exit(t, "partx", "--delete", "--nr", "1-4", device); status == 0 {
			return
		}
		time.Sleep(wait)
	}
	t.Errorf("partx --delete %s: status %d\n%s", device, status, output)
}

// readRange returns the bytes of a file from first up to end.
func readRange(t *testing.T, path string, first, end int64) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, end-first)
	if _, err := f.ReadAt(b, first); err != nil {
		t.Fatal(err)
	}
	return b
}

// grubFiles describes what is below a directory: type, mode, size and digest by
// path.
func grubFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		files[name] = fi.Mode().String()
		if fi.Mode().IsRegular() {
			files[name] += fmt.Sprintf(" %d %s", fi.Size(), digest(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// fixtureDisk is a disk with a fixture, as its configuration asks for.
func fixtureDisk(t *testing.T, layout partition.Layout, variant string) (*grubDisk, *boot.Settings) {
	t.Helper()
	ctx := context.Background()
	f := fixture.Build(t, variant)
	closure, err := nixstore.FromClosureInfo(f.ClosureInfo)
	if err != nil {
		t.Fatal(err)
	}
	store, err := nixstore.Tree(ctx, closure, f.Host(nixstore.StoreDir), nixstore.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(grubEpoch)
	s := &nixos.System{Toplevel: nixstore.Path(f.Toplevel), Closure: closure, Store: store}
	if err := s.Graft(ctx, root, grubEpoch); err != nil {
		t.Fatal(err)
	}
	d := newGRUBDisk(t, layout, root, 384)
	if d.system, err = boot.ReadSystem(ctx, boot.Files{Root: root}, f.Toplevel, grubEpoch.Sec); err != nil {
		t.Fatal(err)
	}
	for _, path := range f.Paths(t) {
		if !strings.HasSuffix(path, "-grub-config.xml") {
			continue
		}
		config, err := os.ReadFile(f.Host(path))
		if err != nil {
			t.Fatal(err)
		}
		settings, err := grub.ParseConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		return d, settings
	}
	t.Fatalf("the fixture %s has no grub-config.xml", variant)
	return nil, nil
}

// grubLayouts are the disks that GRUB starts. (test/bootmatrix_test.go has them
// started.)
var grubLayouts = []struct {
	layout  partition.Layout
	variant string
}{
	{partition.Legacy, "grub"},
	{partition.LegacyBoot, "grub"},
	{partition.LegacyGPT, "grub"},
	{partition.EFI, "grub-efi"},
	{partition.Hybrid, "grub-both"},
}

// reference is a file in a menu: its drive and its path.
var reference = regexp.MustCompile(`(?m)^  (linux|initrd) \(\$(drive[12])\)(\S+)`)

// GRUB's own readers of ext4 and FAT find kernel and initial ramdisk where the
// menu says, and its parser accepts the menu.
func TestGRUBReads(t *testing.T) {
	for _, l := range grubLayouts {
		t.Run(string(l.layout), func(t *testing.T) {
			d, settings := fixtureDisk(t, l.layout, l.variant)
			in := d.install(settings)
			menu := menuOf(t, in)
			checkMenu(t, menu)
			checkReferences(t, d, d.write(in), menu, fixture.Build(t, l.variant))
		})
	}
}

func menuOf(t *testing.T, in *boot.Installation) string {
	t.Helper()
	for _, f := range in.Files {
		if f.Path == "/boot/grub/grub.cfg" {
			text, err := boot.ReadAll(f.Inode)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	t.Fatal("there is no menu")
	return ""
}

func checkMenu(t *testing.T, menu string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(name, []byte(menu), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, status := oracle.Exit(t, "grub-script-check", name); status != 0 {
		t.Errorf("grub-script-check: %s\n%s", output, menu)
	}
}

// checkReferences has grub-fstest compare what the menu refers to with the host's
// files.
func checkReferences(t *testing.T, d *grubDisk, image, menu string, f *fixture.System) {
	t.Helper()
	found := reference.FindAllStringSubmatch(menu, -1)
	if len(found) < 2 {
		t.Fatalf("the menu has %d files:\n%s", len(found), menu)
	}
	bootFS, _ := d.disk.At("/boot")
	table := map[partition.Scheme]string{partition.MBR: "msdos", partition.GPT: "gpt"}[d.table.Scheme]
	seen := map[string]bool{}
	for _, r := range found {
		number := 0
		switch r[2] {
		case "drive1":
			number = bootFS.Partition
		case "drive2":
			root, _ := d.disk.Mounted("/")
			number = root.Partition
		}
		if seen[r[3]] {
			continue
		}
		seen[r[3]] = true
		host := f.Kernel(t)
		if r[1] == "initrd" {
			host = f.Initrd(t)
		}
		if filepath.Base(filepath.Dir(host)) != filepath.Base(filepath.Dir(r[3])) && !strings.Contains(r[3], filepath.Base(filepath.Dir(host))) {
			continue // of a specialisation that has its own
		}
		file := fmt.Sprintf("(loop0,%s%d)%s", table, number, r[3])
		if output, status := oracle.Exit(t, "grub-fstest", image, "cmp", file, host); status != 0 || output != "" {
			t.Errorf("grub-fstest cmp %s: status %d\n%s", file, status, output)
		}
	}
}

// An image without partitions has a menu, and Linode's link to it, for a GRUB
// that the machine brings along: here one that QEMU starts as if it were Linux.
func TestGRUBOnNone(t *testing.T) {
	s := fixture.Build(t, "grub-nodev")
	image := build(t, append(systemArgs(s), "--partition-table-type", "none")...)
	for _, dir := range []string{"grub", "grub2"} {
		menu := string(oracle.Output(t, "grub-fstest", image, "cat", "(loop0)/boot/"+dir+"/grub.cfg"))
		if !strings.Contains(menu, "search --set=drive1 --label nixos\n") {
			t.Errorf("/boot/%s/grub.cfg finds nothing by label:\n%s", dir, menu)
		}
		checkMenu(t, menu)
	}
	long(t)
	dir := t.TempDir()
	config, core, initrd := filepath.Join(dir, "config"), filepath.Join(dir, "core"), filepath.Join(dir, "none")
	writeFile(t, config, []byte("search --set=root --label nixos\nconfigfile ($root)/boot/grub2/grub.cfg\n"))
	writeFile(t, initrd, nil)
	oracle.Run(t, "grub-mkimage", "-O", "i386-pc", "-p", "(hd0)/boot/grub2", "-c", config, "-o", core,
		"biosdisk", "configfile", "ext2", "linux", "loadenv", "normal", "search", "search_label", "serial", "terminal", "test")
	head, err := os.ReadFile(oracle.NeedFile(t, "grub-pc-bin", "/usr/lib/grub/i386-pc/lnxboot.img"))
	if err != nil {
		t.Fatal(err)
	}
	rest, err := os.ReadFile(core)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, core, append(head, rest...))
	checkBooted(t, qemu.Run(t, qemu.Machine{Image: image, Firmware: qemu.Direct, Kernel: core, Initrd: initrd, CommandLine: "grub"}), s, s.Toplevel)
}

// GRUB by the firmware's variables only: there is no file that firmware falls back
// to.
func TestGRUBByVariables(t *testing.T) {
	long(t)
	s := fixture.Build(t, "grub-efi-variables")
	dir := scratch.Dir(t)
	must(t, append(systemArgs(s), "build", "-q", "--no-sync", "-o", dir, "--partition-table-type", "efi", "--boot-size", "128M",
		"--touch-efi-vars", "--efi-variables", qemu.Variables(t))...)
	image, variables := filepath.Join(dir, "nixos.img"), filepath.Join(dir, "efi-vars.fd")
	checkBooted(t, qemu.Run(t, qemu.Machine{Image: image, Firmware: qemu.UEFI, Variables: variables}), s, s.Toplevel)
	qemu.Fails(t, qemu.Machine{Image: image, Firmware: qemu.UEFI, Timeout: time.Minute})
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
