package vm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"diskwright/boot/efivars"
	"diskwright/builder"
	"diskwright/nixos"
	"diskwright/nixstore"
	"diskwright/spec"
	qemu "diskwright/test/boot"
	"diskwright/test/fixture"
	"diskwright/test/oracle"
	"diskwright/test/scratch"
	"diskwright/tree"
	"diskwright/vm"
	"diskwright/vm/host"
)

// systemTree is the tree that a system alone makes.
func systemTree(t *testing.T, s *fixture.System, epoch tree.Time) *tree.Inode {
	t.Helper()
	ctx := context.Background()
	closure, err := nixstore.FromClosureInfo(s.ClosureInfo)
	if err != nil {
		t.Fatal(err)
	}
	store, err := nixstore.Tree(ctx, closure, s.Host(nixstore.StoreDir), nixstore.TreeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root := tree.NewDir(epoch)
	system := nixos.System{Toplevel: nixstore.Path(s.Toplevel), Closure: closure, Store: store}
	if err := system.Graft(ctx, root, epoch); err != nil {
		t.Fatal(err)
	}
	return root
}

// A disk as the builder plans it, in a machine with UEFI firmware: nothing differs
// afterwards but what the system and its installer have made.
func TestInstall(t *testing.T) {
	oracle.Need(t, "qemu-system-x86_64")
	s := fixture.Build(t, "grub-installs")
	bin := filepath.Join(t.TempDir(), "diskwright")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bin, "diskwright/cmd/diskwright")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	p := spec.New()
	p.System, p.StoreDir, p.ClosureInfo = s.Toplevel, s.Root, s.ClosureInfo
	p.InstallBootLoader = new(false)
	p.PartitionTableType, p.BootSize, p.AdditionalSpace = "hybrid", "96M", "96M"
	disk, err := builder.New(t.Context(), p, builder.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	seconds, _ := p.Epoch()
	epoch := tree.Time{Sec: seconds}

	variables := qemu.Variables(t)
	code := oracle.NeedFile(t, "ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd")
	var steps []string
	request := &vm.Request{
		Root: systemTree(t, s, epoch), Toplevel: s.Toplevel, Disk: disk.Map(), Table: &disk.Report.Table, RootType: "ext4",
		Links: []string{"/dev/disk/by-id/virtio-fixture"}, Epoch: epoch, Guest: bin, Dir: scratch.Dir(t),
		Machine: host.Machine{
			MemoryMiB: 512, Limit: 5 * time.Minute, Firmware: &host.Firmware{Code: code, Variables: variables},
			Report: func(e host.Event) {
				if e.Step != "" {
					steps = append(steps, e.Step)
				}
			},
		},
	}
	result, err := vm.Install(t.Context(), request)
	if err != nil {
		t.Fatalf("%v\nafter %q", err, steps)
	}
	t.Logf("%q", steps)
	for _, want := range []string{"/boot/EFI/BOOT/BOOTX64.EFI", "/boot/grub/grub.cfg", "/boot/grub/i386-pc/normal.mod", "/etc/hostname"} {
		if !slices.Contains(result.Files.Added, want) || request.Root.Lookup(want) == nil {
			t.Errorf("%s is not in the tree", want)
		}
	}
	for _, path := range result.Files.Added {
		if !slices.ContainsFunc([]string{"/boot", "/etc/", "/dev", "/proc", "/sys", "/run", "/tmp", "/var/empty"}, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
			t.Errorf("%s was made", path)
		}
	}
	if len(result.Files.Changed)+len(result.Files.Removed)+len(result.Files.Left) > 0 {
		t.Errorf("changed %q, removed %q, left out %q", result.Files.Changed, result.Files.Removed, result.Files.Left)
	}
	if result.Areas.BootCode == nil || len(result.Areas.Embedded) != 1 {
		t.Errorf("%d areas outside of file systems", len(result.Areas.Embedded))
	}
	if _, err := efivars.Read(result.Variables); err != nil {
		t.Errorf("the firmware's variables: %v", err)
	}
	if !slices.Contains(steps, "mount efivarfs") {
		t.Errorf("efivarfs was not mounted: %q", steps)
	}
	if err := result.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(request.Dir); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}
