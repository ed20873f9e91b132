package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"diskwright/boot"
	"diskwright/content"
	"diskwright/filesystem/ext4"
	"diskwright/filesystem/fat"
	"diskwright/format/raw"
	"diskwright/inspect"
	"diskwright/nixstore"
	"diskwright/partition"
	qemu "diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
	"diskwright/vm/guest"
	"diskwright/vm/kmod"
	"diskwright/vm/overlay"
	"diskwright/vm/protocol"
)

// binaries is where program builds.
var binaries string

func TestMain(m *testing.M) {
	status := m.Run()
	if binaries != "" {
		os.RemoveAll(binaries)
	}
	os.Exit(status)
}

// one has one machine run at a time.
var one sync.Mutex

// program is the whole program, as it is built for users.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "diskwright-vm-test-")
	if err != nil {
		return "", err
	}
	binaries = dir
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "diskwright"), "diskwright/cmd/diskwright")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return filepath.Join(dir, "diskwright"), nil
})

// bench is a disk with a system whose installer works.
type bench struct {
	t       *testing.T
	system  *fixture.System
	machine *Machine
	steps   []string
	output  strings.Builder
}

// newBench builds a disk with a layout.
func newBench(t *testing.T, args ...string) *bench {
	t.Helper()
	oracle.Need(t, "qemu-system-x86_64")
	s := fixture.Build(t, "grub-installs")
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := scratch.Dir(t)
	args = append([]string{"build", "-q", "--no-sync", "-o", dir, "--system", s.Toplevel, "--closure-info", s.ClosureInfo, "--store-dir", s.Root,
		"--install-boot-loader=false", "--disk-size", "min", "--additional-space", "96M"}, args...)
	if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	closure, err := nixstore.FromClosureInfo(s.ClosureInfo)
	if err != nil {
		t.Fatal(err)
	}
	store, err := nixstore.Tree(context.Background(), closure, s.Host(nixstore.StoreDir), nixstore.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(tree.Time{})
	if _, err := tree.MakeDir(root, "nix", tree.Time{}); err != nil {
		t.Fatal(err)
	}
	root.Child("nix").SetChild("store", store)
	set, err := kmod.Open(boot.Files{Root: root}, s.Toplevel+"/kernel-modules")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := set.Load(Wanted...)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := content.StatHostFile(s.Kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, system: s}
	b.machine = &Machine{
		Arch: "x86_64", Guest: bin, Disk: filepath.Join(dir, "nixos.img"), Kernel: kernel, Modules: modules, MemoryMiB: 512, Limit: 5 * time.Minute,
		Job: &protocol.Job{
			Links: []string{"/dev/disk/by-id/virtio-fixture"},
			Commands: []protocol.Command{{
				Args: []string{guest.System + "/bin/switch-to-configuration", "boot"}, Env: []string{"NIXOS_INSTALL_BOOTLOADER=1"},
			}},
		},
		Report: func(e Event) {
			if e.Step != "" {
				b.steps = append(b.steps, e.Step)
			}
			b.output.Write(e.Output)
		},
	}
	return b
}

// run runs the machine, alone.
func (b *bench) run(ctx context.Context) error {
	one.Lock()
	defer one.Unlock()
	begin := time.Now()
	err := Run(ctx, b.machine)
	b.t.Logf("%v: %q", time.Since(begin).Round(time.Second/10), b.steps)
	return err
}

// open opens an image for the rest of the test.
func open(t *testing.T, file string) *inspect.Image {
	t.Helper()
	img, err := inspect.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { img.Close() })
	return img
}

// read returns the files of a hybrid disk as they are mounted.
func read(t *testing.T, img *inspect.Image) *tree.Inode {
	t.Helper()
	var trees [2]*tree.Inode
	for n, number := range []int{rootNumber, espNumber} {
		files, err := img.Files(number)
		if err != nil {
			t.Fatal(err)
		}
		if trees[n], err = files.Tree(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := overlay.Mount(trees[0], "/boot", trees[1]); err != nil {
		t.Fatal(err)
	}
	return trees[0]
}

// The partitions of a hybrid disk.
const espNumber, rootNumber = 1, 3

var epoch = tree.Time{Sec: 315532800}

// result is what an installer has made of a disk.
type result struct {
	root   *tree.Inode
	report *overlay.Report
	areas  *overlay.Areas
}

// install runs the installer on the disk and returns the tree it is made from
// now.
func (b *bench) install() *result {
	t := b.t
	t.Helper()
	before := filepath.Join(scratch.Dir(t), "before.img")
	oracle.Run(t, "cp", "--sparse=always", b.machine.Disk, before)
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	was, is := open(t, before), open(t, b.machine.Disk)
	r := &result{root: read(t, was)}
	var err error
	if r.report, err = overlay.Apply(t.Context(), r.root, read(t, is), overlay.Options{Epoch: epoch, FATs: []string{"/boot"}}); err != nil {
		t.Fatal(err)
	}
	if r.areas, err = overlay.ReadAreas(was.Disk(), is.Disk(), was.Table); err != nil {
		t.Fatal(err)
	}
	return r
}

// digest returns one of everything in a result.
func (r *result) digest(t *testing.T) string {
	t.Helper()
	h := sha256.New()
	if err := tree.WriteTar(t.Context(), h, r.root, func(string) {}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(h, "%x %v %v", r.areas.BootCode, r.areas.Embedded, r.areas.Active)
	return hex.EncodeToString(h.Sum(nil))
}

// write plans the disk again, from the tree.
func (r *result) write(t *testing.T, table partition.Table) (image string) {
	t.Helper()
	esp, err := tree.Split(r.root, "/boot", epoch)
	if err != nil {
		t.Fatal(err)
	}
	p := table.Partitions[espNumber-1]
	boot, err := fat.New(esp, fat.Options{Label: "ESP", Size: table.Size(p), HiddenSectors: uint32(p.Start), Time: epoch})
	if err != nil {
		t.Fatal(err)
	}
	bootMap, err := boot.Map()
	if err != nil {
		t.Fatal(err)
	}
	root, err := ext4.New(r.root, ext4.Options{Size: table.Size(table.Partitions[rootNumber-1]) / 1024 * 1024, Label: "nixos", UUID: [16]byte{1}, Epoch: epoch.Sec})
	if err != nil {
		t.Fatal(err)
	}
	table.BootCode = r.areas.BootCode
	for _, a := range r.areas.Embedded {
		table.Embedded = append(table.Embedded, partition.Embedded{Offset: a.Offset, Content: content.Bytes(a.Data)})
	}
	m, err := table.Map(map[int]content.Source{espNumber: bootMap, rootNumber: root.Map()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(scratch.Dir(t), "again.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := raw.WriteFile(t.Context(), m, f, raw.Options{}); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// The system's own installer installs GRUB, for BIOS and UEFI. What it has made is
// the same a second time, and starts from a disk that is planned again.
func TestInstall(t *testing.T) {
	t.Parallel()
	var digests []string
	var last *result
	var b *bench
	for range 2 {
		b = newBench(t, "--partition-table-type", "hybrid", "--boot-size", "96M")
		b.machine.Job.Mounts = []protocol.Mount{{Partition: rootNumber, Type: "ext4", Path: "/"}, {Partition: espNumber, Type: "vfat", Path: "/boot"}}
		last = b.install()
		digests = append(digests, last.digest(t))
		if got := strings.Count(b.output.String(), "Installation finished. No error reported."); got != 2 {
			t.Errorf("grub-install has finished %d times, want 2:\n%s", got, b.output.String())
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two installations: %q", digests)
	}
	for _, name := range []string{"boot/EFI/BOOT/BOOTX64.EFI", "boot/grub/i386-pc/core.img", "boot/grub/grub.cfg", "etc/hostname"} {
		if !slices.Contains(last.report.Added, "/"+name) || last.root.Lookup(name) == nil {
			t.Errorf("/%s was not made", name)
		}
	}
	if len(last.report.Removed)+len(last.report.Changed)+len(last.report.Left) != 0 {
		t.Errorf("changed %q, removed %q, left %q", last.report.Changed, last.report.Removed, last.report.Left)
	}
	for _, name := range []string{"dev", "proc", "sys", "run"} {
		if dir := last.root.Lookup(name); dir == nil || len(dir.Entries) > 0 {
			t.Errorf("/%s is %v, want an empty directory", name, dir)
		}
	}
	if last.areas.BootCode == nil || len(last.areas.Embedded) == 0 {
		t.Error("there is nothing in the boot sector and the BIOS boot partition")
	}
	oracle.Run(t, "sgdisk", "-v", b.machine.Disk)

	image := last.write(t, *open(t, b.machine.Disk).Table)
	one.Lock()
	defer one.Unlock()
	for _, firmware := range qemu.Firmwares {
		report := qemu.Run(t, qemu.Machine{Image: image, Firmware: firmware}).Report()
		if report["store"] != "ok" || report["toplevel"] != b.system.Toplevel || report["firmware"] != string(firmware) {
			t.Errorf("by %s: %q", firmware, report)
		}
	}
}

// rootOnly is a disk without boot partitions.
func rootOnly(t *testing.T, args ...string) *bench {
	b := newBench(t, append([]string{"--partition-table-type", "legacy"}, args...)...)
	b.machine.Job.Mounts = []protocol.Mount{{Partition: 1, Type: "ext4", Path: "/"}}
	return b
}

// script is a program that the installer of the fixture runs first.
func script(t *testing.T, text string) []string {
	file := filepath.Join(t.TempDir(), "installer.sh")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"--contents", "source=" + file + ",target=/installer.sh"}
}

// What an installer says when it fails is the error; the disk is unmounted in
// order.
func TestFailure(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "echo this is what is wrong >&2; sleep 1000 & exit 3\n")...)
	err := b.run(t.Context())
	var failed *GuestError
	if !errors.As(err, &failed) || failed.Reason != guest.System+"/bin/switch-to-configuration boot: exit status 3" || failed.Output != "this is what is wrong" {
		t.Errorf("error is %v", err)
	}
	if last := b.steps[len(b.steps)-1]; last != stepUnmount {
		t.Errorf("the last step is %q", last)
	}
	if out, status := oracle.Exit(t, "e2fsck", "-fn", b.machine.Disk+"?offset=1048576"); status != 0 {
		t.Errorf("e2fsck:\n%s", out)
	}
}

// A disk that becomes full is the installer's error.
func TestFull(t *testing.T) {
	if os.Getenv("DISKWRIGHT_LONG") == "" {
		t.Skip("DISKWRIGHT_LONG=1 fills a disk")
	}
	t.Parallel()
	b := rootOnly(t, script(t, "cat /dev/zero >/full\n")...)
	err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "No space left on device") {
		t.Errorf("error is %v", err)
	}
}

// One that hangs is ended by the time limit, and no QEMU stays.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "sleep 1000\n")...)
	b.machine.Limit = 8 * time.Second
	err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not done within 8s") {
		t.Errorf("error is %v", err)
	}
	noQEMU(t, b)
}

// A context that is done, at each step, ends the machine with its cause.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "sleep 1000\n")...)
	report := b.machine.Report
	for _, step := range []string{"mount /dev/vda1 on /", "systemd-tmpfiles", guest.System + "/bin/switch-to-configuration boot"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("interrupted at " + step)
		b.machine.Report = func(e Event) {
			report(e)
			if e.Step == step {
				cancel(cause)
			}
		}
		if err := b.run(ctx); !errors.Is(err, cause) {
			t.Errorf("error is %v, want %v", err, cause)
		}
		noQEMU(t, b)
	}
}

// What does not start says why.
func TestNoStart(t *testing.T) {
	t.Parallel()
	b := rootOnly(t)
	for _, c := range []struct {
		change func(*Machine)
		want   []string
	}{
		{func(m *Machine) { m.Modules = nil }, []string{"did not start", "there is no virtio-serial port"}},
		{func(m *Machine) { m.Kernel = content.Bytes("no kernel") }, []string{"did not start"}},
		{func(m *Machine) { m.QEMU = "/nowhere/qemu" }, []string{"/nowhere/qemu"}},
		{func(m *Machine) { m.Arch = "mips" }, []string{`"mips"`}},
		{func(m *Machine) { m.Arch = "aarch64" }, []string{"EM_X86_64", "EM_AARCH64"}},
		{func(m *Machine) { m.Guest = "/bin/sh" }, []string{"linked statically"}},
		{func(m *Machine) { m.Guest = "/etc/passwd" }, []string{"not a program for Linux"}},
	} {
		m := *b.machine
		m.Accel = TCG
		c.change(&m)
		one.Lock()
		err := Run(t.Context(), &m)
		one.Unlock()
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %q", err, want)
			}
		}
	}
}

// A QEMU that somebody kills is told with the step that it was at.
func TestKilled(t *testing.T) {
	t.Parallel()
	b := rootOnly(t, script(t, "sleep 1000\n")...)
	report := b.machine.Report
	step := guest.System + "/bin/switch-to-configuration boot"
	b.machine.Report = func(e Event) {
		report(e)
		if e.Step == step {
			for _, pid := range b.processes() {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	err := b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "ended early") || !strings.Contains(err.Error(), step) {
		t.Errorf("error is %v", err)
	}
	noQEMU(t, b)
}

// noQEMU fails the test if a QEMU still has the disk.
func noQEMU(t *testing.T, b *bench) {
	t.Helper()
	if pids := b.processes(); len(pids) > 0 {
		t.Errorf("still there: %d", pids)
	}
}

// processes returns those that have the disk as an argument.
func (b *bench) processes() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), b.machine.Disk) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
