package limine

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"diskwright/boot"
	"diskwright/boot/internal/boottest"
	"diskwright/content"
	"diskwright/filesystem/fat"
	"diskwright/partition"
	"diskwright/test/oracle"
)

// realLimine returns the directory of a binary release of Limine, with the
// program limine in it, or skips the test. Debian has no package of Limine:
// docs/boot-limine.md says how to run these tests by hand.
func realLimine(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DISKWRIGHT_LIMINE")
	if dir == "" {
		t.Skip("DISKWRIGHT_LIMINE is not set: see docs/boot-limine.md")
	}
	return dir
}

// The boot image is the same from every file that has it.
func TestRealBootImage(t *testing.T) {
	dir := realLimine(t)
	var first *BootImage
	for _, name := range []string{"limine-bios-hdd.h", "limine", "limine.exe"} {
		file, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		image := parse(t, file)
		t.Logf("%s: stage 2 has %d bytes", name, len(image.stage2))
		if first == nil {
			first = image
		}
		if !bytes.Equal(image.sector, first.sector) || !bytes.Equal(image.stage2, first.stage2) {
			t.Errorf("%s has another boot image", name)
		}
	}
	if first == nil {
		t.Fatal("no file has a boot image")
	}
}

// Disks are, to the last byte, what `limine bios-install` makes of them.
func TestRealLimine(t *testing.T) {
	dir := realLimine(t)
	program := filepath.Join(dir, "limine")
	file, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	image := parse(t, file)
	for _, c := range []struct {
		layout partition.Layout
		index  int
	}{{partition.LegacyBoot, 0}, {partition.Hybrid, 2}, {partition.LegacyGPT, 1}} {
		table := boottest.Disk(t, c.layout).Table
		want := filepath.Join(t.TempDir(), "disk.img")
		writeDisk(t, want, table, nil)
		args := []string{"bios-install", want}
		if c.index != 0 {
			args = append(args, strconv.Itoa(c.index))
		}
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		e, err := image.Embed(table, c.index)
		if err != nil {
			t.Fatal(err)
		}
		have := filepath.Join(t.TempDir(), "disk.img")
		writeDisk(t, have, table, e)
		for _, part := range []struct{ from, size int64 }{{0, 4 << 20}, {table.DiskSize - 4<<20, 4 << 20}} {
			w, h := readAt(t, want, part.from, part.size), readAt(t, have, part.from, part.size)
			for n := range w {
				if w[n] != h[n] {
					t.Errorf("%s, partition %d: byte %#x is %#02x, not %#02x", c.layout, c.index, part.from+int64(n), h[n], w[n])
					break
				}
			}
		}
	}
}

// writeDisk writes a disk without content, and Limine into it.
func writeDisk(t *testing.T, name string, table *partition.Table, e *Embedding) {
	t.Helper()
	m, err := table.Map(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(table.DiskSize); err != nil {
		t.Fatal(err)
	}
	write := func(off int64, b []byte) {
		t.Helper()
		if _, err := f.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
	for _, off := range []int64{0, table.DiskSize - 1<<20} {
		b := make([]byte, 1<<20)
		if err := content.ReadFull(m, b, off); err != nil {
			t.Fatal(err)
		}
		write(off, b)
	}
	if e == nil {
		return
	}
	write(0, e.BootCode)
	write(e.Stage2.Offset, e.Stage2.Data)
	if sector := readAt(t, name, 0, sectorSize); table.Scheme == partition.MBR && e.Active != 0 &&
		sector[446]|sector[462]|sector[478]|sector[494] == 0 {
		write(446+16*int64(e.Active-1), []byte{0x80})
	}
}

func readAt(t *testing.T, name string, off, n int64) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	return b
}

// The program takes the hash of a menu where we put it.
func TestRealEnroll(t *testing.T) {
	dir := realLimine(t)
	c, s := load(t, "limine-08-enroll")
	program, err := os.ReadFile(filepath.Join(dir, "BOOTX64.EFI"))
	if err != nil {
		t.Fatal(err)
	}
	c.Put(t, s.Limine.Package+"/share/limine/BOOTX64.EFI", string(program))
	install(t, c, s, partition.EFI)
	files := boot.Files{Root: c.Root}
	have, err := files.Read("/boot/efi/boot/BOOTX64.EFI")
	if err != nil {
		t.Fatal(err)
	}
	menu, err := files.Read("/boot/limine/limine.conf")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "BOOTX64.EFI")
	if err := os.WriteFile(name, program, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(dir, "limine"), "enroll-config", name, blake(menu)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) || bytes.Equal(have, program) {
		t.Error("limine enroll-config makes another program")
	}
}

// Limine starts a kernel from each kind of disk, after it has checked what it
// loads: from a BIOS in every place that stage 2 may have, and from EFI.
func TestRealBoot(t *testing.T) {
	dir := realLimine(t)
	kernel, err := os.ReadFile(os.Getenv("DISKWRIGHT_KERNEL"))
	if err != nil {
		t.Skip("DISKWRIGHT_KERNEL is not set to a kernel: see docs/boot-limine.md")
	}
	for _, c := range []struct {
		layout partition.Layout
		index  int
		efi    bool
	}{
		{partition.LegacyBoot, 0, false},
		{partition.Hybrid, 2, false},
		{partition.EFI, 0, false},
		{partition.Hybrid, 2, true},
	} {
		name := fmt.Sprintf("%s-%d-efi=%t", c.layout, c.index, c.efi)
		t.Run(name, func(t *testing.T) {
			image := filepath.Join(t.TempDir(), "disk.img")
			writeSystem(t, image, dir, kernel, c.layout, c.index, c.efi)
			log := runQEMU(t, image, c.efi)
			for _, want := range []string{
				"Command line: init=/nix/store/v1605d2xln7pal29qr09z59hk8ywknhz-nixos-system-test1-25.05.20250101.abcdef0/init console=ttyS0",
				"Initramfs unpacking failed: invalid magic", // it came as it is
			} {
				if !strings.Contains(log, want) {
					t.Errorf("%q is not in\n%s", want, log)
				}
			}
		})
	}
}

// writeSystem writes a disk with a golden's system, and a real kernel and Limine
// in it.
func writeSystem(t *testing.T, name, dir string, kernel []byte, layout partition.Layout, index int, efi bool) {
	t.Helper()
	c, s := load(t, "limine-01-uefi")
	for _, file := range []string{"share/limine/BOOTX64.EFI", "share/limine/limine-bios.sys", "bin/limine"} {
		b, err := os.ReadFile(filepath.Join(dir, filepath.Base(file)))
		if err != nil {
			t.Fatal(err)
		}
		c.Put(t, s.Limine.Package+"/"+file, string(b))
	}
	document := &c.System.Profiles[0].Generations[0].Document
	document.Kernel, document.KernelParams = "/nix/store/0-linux/bzImage", []string{"console=ttyS0", "panic=-1"}
	c.Put(t, document.Kernel, string(kernel))
	truth, timeout := true, 0
	s.Timeout = &timeout
	s.Limine.Style = boot.LimineStyle{}
	s.Limine.ExtraConfig = "serial: yes"
	s.Limine.PanicOnChecksumMismatch, s.Limine.EnrollConfig = true, nil
	s.Limine.EFISupport, s.Limine.EFIInstallAsRemovable = efi, &truth
	s.Limine.BIOSSupport, s.Limine.BIOSDevice = &truth, "/dev/sda"
	if s.Limine.PartitionIndex = &index; index == 0 {
		s.Limine.PartitionIndex = nil
	}
	in := install(t, c, s, layout)
	table := boottest.Disk(t, layout).Table
	e := &Embedding{BootCode: in.BootCode, Stage2: in.Embed[0], Active: in.Active}
	writeDisk(t, name, table, e)

	p := table.Partitions[slices.IndexFunc(table.Partitions, func(p partition.Partition) bool { return p.MountPoint == "/boot" })]
	files, err := fat.New(c.Root.Lookup("/boot"), fat.Options{Size: table.Size(p), HiddenSectors: uint32(p.Start)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := files.Map()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(io.NewOffsetWriter(f, table.Offset(p)), io.NewSectionReader(m, 0, m.Size())); err != nil {
		t.Fatal(err)
	}
}

// runQEMU starts a machine and returns what it shows on its serial console until
// the kernel gives up.
func runQEMU(t *testing.T, image string, efi bool) string {
	t.Helper()
	serial := filepath.Join(t.TempDir(), "serial.log")
	args := []string{
		"120", oracle.Need(t, "qemu-system-x86_64"), "-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-no-reboot", "-net", "none",
		"-serial", "file:" + serial, "-drive", "snapshot=on,format=raw,file=" + image,
	}
	if efi {
		args = append(args, "-machine", "q35", "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd"))
	}
	out, status := oracle.Exit(t, "timeout", args...)
	log, err := os.ReadFile(serial)
	if err != nil {
		t.Fatalf("exit status %d: %s, %v", status, out, err)
	}
	return string(log)
}
