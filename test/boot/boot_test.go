package boot

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"diskwright/filesystem/ext4"
	"diskwright/format/raw"
	"diskwright/nixos"
	"diskwright/nixstore"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
)

// offset is where the images here have their file system.
const offset = 1 << 20

// epoch is 1980, as in all images.
var epoch = tree.Time{Sec: 315532800}

// uuid is what the fixture calls its root file system, unless by label.
var uuid = [16]byte{0xf2, 0x22, 0x51, 0x3b, 0xde, 0xd1, 0x49, 0xfa, 0xb5, 0x91, 0x20, 0xce, 0x86, 0xa2, 0xfe, 0x7f}

// image makes a disk with a GPT and one ext4 file system that holds the system.
func image(t *testing.T, s *fixture.System) string {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	closure, err := nixstore.FromClosureInfo(s.ClosureInfo)
	must(err)
	store, err := nixstore.Tree(ctx, closure, s.Host(nixstore.StoreDir), nixstore.TreeOptions{})
	must(err)
	root := tree.NewDir(epoch)
	system := nixos.System{Toplevel: nixstore.Path(s.Toplevel), Closure: closure, Store: store}
	must(system.Graft(ctx, root, epoch))
	const size = 256 << 20
	fs, err := ext4.New(root, ext4.Options{Size: size, Label: "nixos", UUID: uuid, HashSeed: uuid, Epoch: epoch.Sec})
	must(err)

	dir := scratch.Dir(t)
	part, disk := filepath.Join(dir, "part"), filepath.Join(dir, "disk")
	f, err := os.Create(part)
	must(err)
	must(raw.WriteFile(ctx, fs.Map(), f, raw.Options{}))
	must(f.Close())
	oracle.Run(t, "truncate", "-s", strconv.Itoa(size+2*offset), disk)
	oracle.Run(t, "sgdisk", "-n", "1:2048:"+strconv.Itoa((offset+size)/512-1), disk)
	oracle.Run(t, "dd", "if="+part, "of="+disk, "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
	must(os.Remove(part))
	return disk
}

// direct is the machine that QEMU starts without firmware and boot loader.
func direct(t *testing.T, image string, s *fixture.System) Machine {
	return Machine{
		Image: image, Firmware: Direct,
		Kernel: s.Kernel(t), Initrd: s.Initrd(t), CommandLine: s.CommandLine(t),
	}
}

// expect compares values of a report.
func expect(t *testing.T, c *Console, want map[string]string) {
	t.Helper()
	got := c.Report()
	bad := false
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
			bad = true
		}
	}
	if bad {
		t.Logf("the end of the console:\n%s", tail(c.Text, 60))
	}
}

// A system that Nix has built starts from what we write, and finds all of it
// intact.
func TestSystem(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "systemd-boot")
	disk := image(t, s)
	want := map[string]string{
		"root": "/dev/vda1", "spec": "LABEL=nixos", "firmware": "bios", "mounts": "/:ext4", "toplevel": s.Toplevel, "name": "default",
		"profile": s.Toplevel, "nixos": "yes", "db": "yes", "store": "ok", "paths": strconv.Itoa(len(s.Paths(t))), "extra": "0", "grown": "no",
	}
	expect(t, Run(t, direct(t, disk, s)), want)

	// Its specialisation, from a disk in another format, on another bus.
	m := direct(t, disk+".qcow2", s)
	oracle.Run(t, "qemu-img", "convert", "-O", "qcow2", disk, m.Image)
	m.Format = "qcow2"
	child, err := os.Readlink(s.Host(s.Toplevel + "/specialisation/rescue"))
	if err != nil {
		t.Fatal(err)
	}
	m.CommandLine = strings.Replace(m.CommandLine, s.Toplevel, child, 1) + " fixture.name=rescue"
	m.Bus = "nvme"
	want["root"], want["toplevel"], want["name"] = "/dev/nvme0n1p1", child, "rescue"
	expect(t, Run(t, m), want)
}

// The guest notices one byte that is wrong in a store of millions.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "grub")
	disk := image(t, s)
	data, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("not a program, but executable"))
	if at < 0 {
		t.Fatal("the image has no such file")
	}
	data[at] ^= 1
	if err := os.WriteFile(disk, data, 0o644); err != nil {
		t.Fatal(err)
	}
	c := Run(t, direct(t, disk, s))
	expect(t, c, map[string]string{"store": "damaged", "spec": "UUID=f222513b-ded1-49fa-b591-20ce86a2fe7f"})
	if !strings.Contains(c.Text, "FIXTURE-DAMAGED contents:") || !strings.Contains(c.Text, "FAILED") {
		t.Errorf("the console does not say what is damaged:\n%s", tail(c.Text, 60))
	}
}

// A disk that becomes larger: the guest makes partition and file system larger, and
// what it leaves behind is in order.
func TestGrow(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "grow")
	disk := image(t, s)
	oracle.Run(t, "truncate", "-s", "+8G", disk)
	m := direct(t, disk, s)
	m.Write = true
	c := Run(t, m)
	expect(t, c, map[string]string{"store": "ok", "grown": "yes"})
	// Of 8.25 GiB, the kernel counts what inode tables leave.
	if size, err := strconv.ParseInt(c.Report()["size"], 10, 64); err != nil || size < 8e9 {
		t.Errorf("the file system has %d bytes (%v), want 8e9", size, err)
	}
	if out := oracle.Run(t, "sgdisk", "-v", disk); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v:\n%s", out)
	}
	oracle.Run(t, "e2fsck", "-fn", disk+"?offset="+strconv.Itoa(offset))
}

// A disk that nothing starts from is told from one that is slow.
func TestNothing(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "empty")
	oracle.Run(t, "truncate", "-s", "16M", disk)
	for _, firmware := range Firmwares {
		c := Fails(t, Machine{Image: disk, Firmware: firmware, Timeout: time.Minute})
		if hopeless.FindString(c.Text) == "" {
			t.Errorf("%s does not give up:\n%s", firmware, c.Text)
		}
	}
}

// What is typed arrives.
func TestAnswer(t *testing.T) {
	t.Parallel()
	s := fixture.Build(t, "none")
	m := direct(t, filepath.Join(t.TempDir(), "empty"), s)
	oracle.Run(t, "truncate", "-s", "16M", m.Image)
	m.CommandLine = "console=ttyS0 loglevel=3 rdinit=/bin/sh"
	m.Answers = []Answer{
		{regexp.MustCompile(`# $`), "/bin/busybox echo one$((1 + 1))\r"},
		{regexp.MustCompile(`one2\n`), "/bin/busybox poweroff -f\r"},
	}
	m.Until = regexp.MustCompile(`one2\n`)
	Run(t, m)
}
